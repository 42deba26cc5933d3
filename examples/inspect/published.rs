//! Sizes of the published models, for checkpoints that come without a `config.json`.

use conceptrol_core::models::{
    autoencoder_kl::AutoencoderKlConfig, clip_text::ClipTextConfig, clip_vision::ClipVisionConfig,
    siglip_vision::SiglipVisionConfig, t5::T5Config,
};
use conceptrol_sd::config::{ControlNetConfig, UNetConfig};
use serde_json::json;

use crate::model::Model;

/// Every model that is looked for by its tensors alone.
pub(crate) fn models() -> Vec<Model> {
    let vae = |latents: usize, quant: bool| {
        let config = json!({
            "block_out_channels": [128, 256, 512, 512],
            "layers_per_block": 2,
            "latent_channels": latents,
            "use_quant_conv": quant,
            "use_post_quant_conv": quant,
        });
        AutoencoderKlConfig::from_json(&config.to_string()).map(Model::Autoencoder)
    };
    let vision = |layers: usize, width: usize, inner: usize, heads: usize, projection: usize| {
        let config = json!({
            "hidden_size": width,
            "intermediate_size": inner,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "patch_size": 14,
            "hidden_act": "gelu",
            "projection_dim": projection,
        });
        ClipVisionConfig::from_json(&config.to_string()).map(Model::ClipVision)
    };
    let parsed = [
        vae(4, true),
        vae(16, false),
        vision(32, 1280, 5120, 16, 1024),
        vision(48, 1664, 8192, 16, 1280),
        vision(24, 1024, 4096, 16, 768),
    ];
    let mut models = vec![
        Model::Unet(UNetConfig::sd15()),
        Model::Unet(UNetConfig::sdxl()),
        net(UNetConfig::sd15()),
        net(UNetConfig::sdxl()),
        Model::T5(T5Config::xxl()),
        Model::ClipText(clip_l()),
        Model::ClipText(clip_g()),
        Model::SiglipVision(SiglipVisionConfig::so400m_384()),
    ];
    models.extend(parsed.into_iter().flatten());
    models
}

/// A `ControlNet` of a UNet.
fn net(unet: UNetConfig) -> Model {
    Model::ControlNet(Box::new(ControlNetConfig::for_unet(unet)))
}

/// The text encoder of SD1.5, the first of SDXL and FLUX.
pub(crate) fn clip_l() -> ClipTextConfig {
    text(12, 768, 12, "quick_gelu", "CLIPTextModel")
}

/// The second text encoder of SDXL.
pub(crate) fn clip_g() -> ClipTextConfig {
    text(32, 1280, 20, "gelu", "CLIPTextModelWithProjection")
}

fn text(layers: usize, width: usize, heads: usize, act: &str, class: &str) -> ClipTextConfig {
    let config = json!({
        "architectures": [class],
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "hidden_act": act,
        "projection_dim": width,
    });
    ClipTextConfig::from_json(&config.to_string()).expect("a published configuration")
}
