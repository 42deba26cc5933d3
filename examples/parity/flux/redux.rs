//! Redux: pictures in the text stream.

use std::error::Error;

use burn::tensor::{Device, Tensor};
use conceptrol_core::{
    models::image::{self, ClipImageConfig, clip_tensor},
    pipeline::{ConceptRequest, Mode, Words},
};
use conceptrol_flux::{
    Flux,
    pipeline::{ReduxOptions, ReduxPictures, ReduxText, Request},
};
use serde_json::Value;

use crate::{
    Outcome,
    case::{Arrays, Case},
    report::Report,
};

pub(super) fn is_redux(case: &Case) -> bool {
    case.has_file("redux")
}

/// What the case asks of the prior.
pub(super) fn set(case: &Case, request: &mut Request) -> Outcome {
    let params = case.params();
    let tokens = params["text_tokens"].as_u64().ok_or("no text_tokens")?;
    request.extra.text_tokens = Some(usize::try_from(tokens)?);
    request.mode = Mode::Adapter;
    for path in case.files("images") {
        let picture = ConceptRequest::new("picture", image::open(path)?);
        request.concepts.push(picture.words(Words::Everywhere));
    }
    let mut redux = ReduxOptions::default()
        .prompt_embeds_scales(scales(&params["prompt_embeds_scale"])?)
        .pooled_prompt_embeds_scales(scales(&params["pooled_prompt_embeds_scale"])?);
    if request.concepts.len() > 1 {
        redux = redux.pictures(ReduxPictures::Summed);
    }
    if params["text_encoders_loaded"] == false {
        redux = redux.text(ReduxText::Zeros);
    }
    // several pictures may share a prompt
    let prompts = params["prompts"].as_array().into_iter().flatten();
    for prompt in prompts.filter_map(Value::as_str).skip(1) {
        redux = redux.further_prompt(prompt);
    }
    request.extra.redux = redux;
    Ok(())
}

/// One number for all pictures, or one each.
fn scales(value: &Value) -> Result<Vec<f32>, Box<dyn Error>> {
    let list = value.as_array().cloned();
    let list = list.unwrap_or_else(|| vec![value.clone()]);
    let numbers = list.iter().map(|scale| {
        let scale = scale.as_f64().ok_or("a scale that is no number")?;
        #[expect(clippy::cast_possible_truncation, reason = "scales are short decimals")]
        Ok(scale as f32)
    });
    numbers.collect()
}

/// The pictures on their way to tokens.
pub(super) fn compare(
    case: &Case,
    pipeline: &Flux,
    request: &Request,
    [inputs, expected]: [&Arrays; 2],
    device: &Device,
    report: &mut Report,
) -> Outcome {
    let folder = case.file("redux")?.join("feature_extractor");
    let preprocess = ClipImageConfig::from_file(folder.join("preprocessor_config.json"))?;
    let pictures = request.concepts.iter();
    let pictures: Vec<_> = pictures
        .filter_map(|concept| concept.image.clone())
        .collect();
    let pixels = clip_tensor(&pictures, &preprocess, device)?;
    report.tensor("siglip_pixels", pixels, &inputs["siglip_pixels"]);
    let encoded = pictures
        .iter()
        .map(|picture| pipeline.encode_redux(0, picture));
    let encoded: Vec<(Tensor<3>, Tensor<3>)> = encoded.collect::<Result<_, _>>()?;
    let (states, tokens): (Vec<_>, Vec<_>) = encoded.into_iter().unzip();
    report.tensor(
        "siglip_hidden",
        Tensor::cat(states, 0),
        &expected["siglip_hidden"],
    );
    report.tensor(
        "image_tokens",
        Tensor::cat(tokens, 0),
        &expected["image_tokens"],
    );
    Ok(())
}
