//! A CLIP: pictures and texts in one space.

use std::{error::Error, path::Path};

use burn::tensor::{Device, FloatDType, Tensor};
use conceptrol_core::models::{
    clip_text::{ClipTextConfig, ClipTextModel},
    clip_vision::{ClipVisionConfig, ClipVisionModel},
    config::Fields,
    image::{ClipImageConfig, RgbImage, clip_tensor},
    tokenizer::ClipTokenizer,
    weights::Weights,
};
use serde_json::{Value, json};

/// Both halves of a CLIP, as `transformers` saves a `CLIPModel`.
#[derive(Debug)]
pub(crate) struct Encoder {
    text: ClipTextModel,
    vision: ClipVisionModel,
    tokenizer: ClipTokenizer,
    preprocessing: ClipImageConfig,
    device: Device,
}

impl Encoder {
    /// Opens a folder with `config.json`, weights, `preprocessor_config.json` and a tokenizer; the tokenizer may be in
    /// `tokenizer`.
    pub(crate) fn open(folder: &Path, device: &Device) -> Result<Self, Box<dyn Error>> {
        let fields = Fields::open("clip", folder.join("config.json"))?;
        let dim = fields.size_or("projection_dim", 1..=1 << 16, 512)?;
        let part = |name: &'static str| -> Result<String, Box<dyn Error>> {
            let part = fields.value(name).and_then(Value::as_object);
            let mut part = part
                .ok_or_else(|| fields.error(name, "the configuration of that half"))?
                .clone();
            part.insert("projection_dim".into(), json!(dim));
            part.insert("architectures".into(), json!(["CLIPModelWithProjection"]));
            Ok(Value::Object(part).to_string())
        };
        let text = ClipTextConfig::from_json(&part("text_config")?)?;
        let vision = ClipVisionConfig::from_json(&part("vision_config")?)?;
        let w = Weights::open(folder, device, FloatDType::F32)?;
        // the temperature of the training, and positions that older versions saved
        w.ignore_unexpected("logit_scale");
        w.ignore_unexpected("text_model.embeddings.position_ids");
        w.ignore_unexpected("vision_model.embeddings.position_ids");
        let text = ClipTextModel::new(&text, &w);
        let vision = ClipVisionModel::new(&vision, &w);
        w.finish()?;
        let preprocessing = ClipImageConfig::from_file(folder.join("preprocessor_config.json"))?;
        let beside = folder.join("tokenizer");
        let tokenizer = ClipTokenizer::open(if beside.is_dir() { &beside } else { folder })?;
        Ok(Self {
            text,
            vision,
            tokenizer,
            preprocessing,
            device: device.clone(),
        })
    }

    /// Unit vectors of pictures.
    pub(crate) fn pictures(&self, pictures: &[RgbImage]) -> Result<Vec<Vec<f64>>, Box<dyn Error>> {
        if pictures.is_empty() {
            return Ok(Vec::new());
        }
        let pixels = clip_tensor(pictures, &self.preprocessing, &self.device)?;
        Ok(unit(self.vision.image_embeds(pixels)?))
    }

    /// Unit vectors of texts.
    pub(crate) fn texts(&self, texts: &[String]) -> Result<Vec<Vec<f64>>, Box<dyn Error>> {
        let ids: Vec<_> = texts
            .iter()
            .map(|text| self.tokenizer.encode(text).ids)
            .collect();
        let states = self.text.forward(&ids)?;
        let embeds = states
            .text_embeds()
            .ok_or("the encoder has no text projection")?;
        Ok(unit(embeds))
    }
}

/// The rows of `[batch, dim]`, scaled to length 1.
fn unit(embeds: Tensor<2>) -> Vec<Vec<f64>> {
    let [_, dim] = embeds.dims();
    let values: Vec<f64> = embeds.into_data().iter::<f64>().collect();
    let rows = values.chunks(dim).map(|row| {
        let length = row
            .iter()
            .map(|x| x * x)
            .sum::<f64>()
            .sqrt()
            .max(f64::MIN_POSITIVE);
        row.iter().map(|x| x / length).collect()
    });
    rows.collect()
}
