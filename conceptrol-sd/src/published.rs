//! The models that single files are of, whose configurations are not in them.

use conceptrol_core::models::{
    autoencoder_kl::AutoencoderKlConfig,
    clip_text::ClipTextConfig,
    config::ConfigError,
    scheduler::SchedulerConfig,
    tokenizer::{ClipPadding, ClipTokenizer},
    weights::Checkpoint,
};
use serde_json::{Value, json};

use crate::config::UNetConfig;

/// A published model, as its repository on the Hugging Face hub configures it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Published {
    /// Stable Diffusion 1.4 and 1.5.
    Sd15,
    /// Stable Diffusion XL base 1.0.
    Sdxl,
}

/// Width of the text states in SD1.x and in SDXL.
const WIDTHS: [(usize, Published); 2] = [(768, Published::Sd15), (2048, Published::Sdxl)];
/// The first cross-attention keys of a UNet under LDM's names and those of diffusers, with and without attention in the first
/// level.
const KEYS: [&str; 4] = [
    "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
    "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight",
    "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight",
    "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight",
];

impl Published {
    /// Which model the UNet of a single file is, told by the width of the text it reads; that width if it is none of
    /// these. The tensors have their names without a prefix.
    ///
    /// # Errors
    ///
    /// The width of the text, or nothing if there is no UNet.
    pub fn of_unet(unet: &Checkpoint) -> Result<Self, Option<usize>> {
        let mut keys = KEYS.iter().filter_map(|name| unet.get(name));
        let width = keys.find_map(|(_, shape)| shape.get(1).copied());
        let known = WIDTHS.iter().find(|(known, _)| Some(*known) == width);
        known.map(|(_, model)| *model).ok_or(width)
    }

    /// Name of the class of its pipeline in diffusers.
    pub fn class_name(self) -> &'static str {
        match self {
            Self::Sd15 => "StableDiffusionPipeline",
            Self::Sdxl => "StableDiffusionXLPipeline",
        }
    }

    /// The UNet.
    pub fn unet(self) -> UNetConfig {
        match self {
            Self::Sd15 => UNetConfig::sd15(),
            Self::Sdxl => UNetConfig::sdxl(),
        }
    }

    /// The autoencoder.
    pub fn vae(self) -> AutoencoderKlConfig {
        parsed(AutoencoderKlConfig::from_json, &self.vae_json())
    }

    fn vae_json(self) -> Value {
        let (factor, edge) = match self {
            Self::Sd15 => (0.18215, 512),
            Self::Sdxl => (0.13025, 1024),
        };
        json!({
            "_class_name": "AutoencoderKL",
            "block_out_channels": [128, 256, 512, 512],
            "down_block_types": vec!["DownEncoderBlock2D"; 4],
            "latent_channels": 4,
            "layers_per_block": 2,
            "sample_size": edge,
            "scaling_factor": factor,
            "up_block_types": vec!["UpDecoderBlock2D"; 4],
        })
    }

    /// The text encoders: CLIP ViT-L, and in SDXL `OpenCLIP` ViT-bigG.
    pub fn text_encoders(self) -> Vec<ClipTextConfig> {
        let configs = self.text_encoders_json();
        let parsed = |config| parsed(ClipTextConfig::from_json, config);
        configs.iter().map(parsed).collect()
    }

    fn text_encoders_json(self) -> Vec<Value> {
        let large = json!({
            "architectures": ["CLIPTextModel"],
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "projection_dim": 768,
        });
        let big = json!({
            "architectures": ["CLIPTextModelWithProjection"],
            "hidden_size": 1280,
            "intermediate_size": 5120,
            "num_hidden_layers": 32,
            "num_attention_heads": 20,
            "hidden_act": "gelu",
            "projection_dim": 1280,
        });
        match self {
            Self::Sd15 => vec![large],
            Self::Sdxl => vec![large, big],
        }
    }

    /// The tokenizer of its first or second text encoder.
    pub fn tokenizer(second: bool) -> ClipTokenizer {
        ClipTokenizer::published(padding(second))
    }

    /// The scheduler.
    pub fn scheduler(self) -> SchedulerConfig {
        let config = self.scheduler_json().to_string();
        SchedulerConfig::from_json(&config).expect("it is written here")
    }

    fn scheduler_json(self) -> Value {
        let common = json!({
            "beta_start": 0.00085,
            "beta_end": 0.012,
            "beta_schedule": "scaled_linear",
            "num_train_timesteps": 1000,
            "prediction_type": "epsilon",
            "steps_offset": 1,
            "timestep_spacing": "leading",
        });
        let own = match self {
            Self::Sd15 => json!({
                "_class_name": "PNDMScheduler",
                "set_alpha_to_one": false,
                "skip_prk_steps": true,
            }),
            Self::Sdxl => json!({ "_class_name": "EulerDiscreteScheduler" }),
        };
        let fields = [common, own].into_iter().filter_map(|fields| match fields {
            Value::Object(fields) => Some(fields),
            _ => None,
        });
        Value::Object(fields.flatten().collect())
    }

    /// The configurations and tokenizers of its diffusers folder: names of the files, and what is in them.
    pub fn files(self) -> Vec<(String, String)> {
        let unet = match self {
            Self::Sd15 => include_str!("config/sd15.json"),
            Self::Sdxl => include_str!("config/sdxl.json"),
        };
        let scheduler = self.scheduler_json();
        let mut index = json!({
            "_class_name": self.class_name(),
            "scheduler": ["diffusers", scheduler["_class_name"]],
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", "AutoencoderKL"],
        });
        let mut files = vec![
            ("unet/config.json".to_owned(), unet.to_owned()),
            ("vae/config.json".to_owned(), pretty(&self.vae_json())),
            (
                "scheduler/scheduler_config.json".to_owned(),
                pretty(&scheduler),
            ),
        ];
        for (encoder, ending) in self.text_encoders_json().iter().zip(["", "_2"]) {
            index[format!("text_encoder{ending}")] =
                json!(["transformers", encoder["architectures"][0]]);
            index[format!("tokenizer{ending}")] = json!(["transformers", "CLIPTokenizer"]);
            files.push((format!("text_encoder{ending}/config.json"), pretty(encoder)));
            for (name, text) in ClipTokenizer::published_files(padding(!ending.is_empty())) {
                files.push((format!("tokenizer{ending}/{name}"), text));
            }
        }
        files.push(("model_index.json".to_owned(), pretty(&index)));
        files
    }
}

fn padding(second: bool) -> ClipPadding {
    match second {
        false => ClipPadding::EndToken,
        true => ClipPadding::ExclamationMark,
    }
}

fn pretty(config: &Value) -> String {
    format!("{config:#}\n")
}

fn parsed<T>(parse: fn(&str) -> Result<T, ConfigError>, config: &Value) -> T {
    parse(&config.to_string()).expect("it is written here")
}
