//! Sizes of the published models, for checkpoints that come without a `config.json`.

use conceptrol_core::models::t5::T5Config;
use conceptrol_sd::config::UNetConfig;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::model::Model;

/// Every model that is looked for by its tensors alone.
pub(crate) fn models() -> Vec<Model> {
    let vae = |latents: usize, quant: bool| {
        parse(json!({
            "block_out_channels": [128, 256, 512, 512],
            "layers_per_block": 2,
            "latent_channels": latents,
            "use_quant_conv": quant,
            "use_post_quant_conv": quant,
        }))
    };
    let text = |layers: usize, width: usize, heads: usize, act: &str, class: &str| {
        parse(json!({
            "architectures": [class],
            "hidden_size": width,
            "intermediate_size": 4 * width,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "hidden_act": act,
            "projection_dim": width,
        }))
    };
    let vision = |layers: usize, width: usize, inner: usize, heads: usize, projection: usize| {
        parse(json!({
            "hidden_size": width,
            "intermediate_size": inner,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "patch_size": 14,
            "hidden_act": "gelu",
            "projection_dim": projection,
        }))
    };
    let parsed = [
        vae(4, true).map(Model::Autoencoder),
        vae(16, false).map(Model::Autoencoder),
        text(12, 768, 12, "quick_gelu", "CLIPTextModel").map(Model::ClipText),
        text(32, 1280, 20, "gelu", "CLIPTextModelWithProjection").map(Model::ClipText),
        vision(32, 1280, 5120, 16, 1024).map(Model::ClipVision),
        vision(48, 1664, 8192, 16, 1280).map(Model::ClipVision),
    ];
    let mut models = vec![
        Model::Unet(UNetConfig::sd15()),
        Model::Unet(UNetConfig::sdxl()),
        Model::T5(T5Config::xxl()),
    ];
    models.extend(parsed.into_iter().flatten());
    models
}

fn parse<T: DeserializeOwned>(config: serde_json::Value) -> Option<T> {
    serde_json::from_value(config).ok()
}
