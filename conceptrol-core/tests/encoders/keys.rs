//! The full-size models have exactly the tensors of the published checkpoints.

use std::collections::BTreeMap;

use burn::tensor::Device;
use conceptrol_core::models::autoencoder_kl::{AutoencoderKl, AutoencoderKlConfig};
use conceptrol_core::models::clip_text::{ClipTextConfig, ClipTextModel};
use conceptrol_core::models::clip_vision::{ClipVisionConfig, ClipVisionModel};
use conceptrol_core::models::config::ConfigError;
use conceptrol_core::models::siglip_vision::{SiglipVisionConfig, SiglipVisionModel};
use conceptrol_core::models::t5::{T5Config, T5Encoder};
use conceptrol_core::models::weights::Weights;
use serde_json::{Value, json};

type Shapes = BTreeMap<String, Vec<usize>>;

fn manifest(name: &str) -> Shapes {
    let path = format!(
        "{}/tests/fixtures/manifests/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let manifest: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    serde_json::from_value(manifest["tensors"].clone()).unwrap()
}

/// The tensors that `build` asks for.
fn asked(build: impl FnOnce(&Weights)) -> Shapes {
    let weights = Weights::names(&Device::flex());
    build(&weights);
    let tensors = weights.finish().unwrap().into_iter();
    tensors.map(|tensor| (tensor.name, tensor.shape)).collect()
}

fn check(name: &str, build: impl FnOnce(&Weights)) {
    assert_eq!(asked(build), manifest(name));
}

fn clip(config: Value) -> impl FnOnce(&Weights) {
    let config = ClipTextConfig::from_json(&config.to_string()).unwrap();
    move |w| drop(ClipTextModel::new(&config, w))
}

fn vae(config: Value) -> impl FnOnce(&Weights) {
    let config = AutoencoderKlConfig::from_json(&config.to_string()).unwrap();
    move |w| drop(AutoencoderKl::new(&config, w))
}

#[test]
fn clip_l() {
    let config = json!({ "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12 });
    check("clip-l-text", clip(config));
}

#[test]
fn clip_bigg() {
    let config = json!({
        "architectures": ["CLIPTextModelWithProjection"], "hidden_act": "gelu", "hidden_size": 1280,
        "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20, "projection_dim": 1280,
    });
    check("clip-bigg-text", clip(config));
}

fn vision(config: Value) -> impl FnOnce(&Weights) {
    let config = ClipVisionConfig::from_json(&config.to_string()).unwrap();
    move |w| drop(ClipVisionModel::new(&config, w))
}

#[test]
fn vit_h() {
    let config = json!({
        "hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 16,
        "patch_size": 14, "projection_dim": 1024, "hidden_act": "gelu",
    });
    check("clip-vit-h-vision", vision(config));
}

#[test]
fn vit_bigg() {
    let config = json!({
        "hidden_size": 1664, "intermediate_size": 8192, "num_hidden_layers": 48, "num_attention_heads": 16,
        "patch_size": 14, "projection_dim": 1280, "hidden_act": "gelu",
    });
    check("clip-vit-bigg-vision", vision(config));
}

/// The list is that of transformers' class at this size; published files carry the text tower as well.
#[test]
fn siglip_so400m() {
    check("siglip-so400m-384-vision", |w| {
        drop(SiglipVisionModel::new(&SiglipVisionConfig::so400m_384(), w));
    });
}

#[test]
fn t5_xxl() {
    let mut expected = manifest("t5-xxl-encoder");
    // The same table under its second name: either will do.
    let second = expected.remove("encoder.embed_tokens.weight");
    assert_eq!(second.as_ref(), expected.get("shared.weight"));
    let encoder = asked(|weights| drop(T5Encoder::new(&T5Config::xxl(), weights)));
    assert_eq!(encoder, expected);
}

#[test]
fn sd_vae() {
    check(
        "sd-vae",
        vae(json!({ "block_out_channels": [128, 256, 512, 512], "layers_per_block": 2 })),
    );
}

#[test]
fn flux_vae() {
    let config = json!({
        "block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "latent_channels": 16,
        "use_quant_conv": false, "use_post_quant_conv": false,
    });
    check("flux-vae", vae(config));
}

#[test]
fn impossible_configurations_are_errors() {
    let clip = |changes: Value| {
        let mut config = json!({ "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2 });
        config
            .as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        ClipTextConfig::from_json(&config.to_string())
    };
    assert!(clip(json!({})).is_ok());
    for changes in [
        json!({ "hidden_size": 0 }),
        json!({ "num_attention_heads": 3 }),
        json!({ "num_hidden_layers": 1_000_000_000_u64 }),
        json!({ "vocab_size": 0 }),
        json!({ "layer_norm_eps": -1.0 }),
    ] {
        assert!(
            matches!(clip(changes.clone()), Err(ConfigError::Field { .. })),
            "{changes}"
        );
    }
    let vae = |changes: Value| {
        let mut config = json!({ "block_out_channels": [32] });
        config
            .as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        AutoencoderKlConfig::from_json(&config.to_string())
    };
    assert!(vae(json!({})).is_ok());
    for changes in [
        json!({ "block_out_channels": [] }),
        json!({ "block_out_channels": [33] }),
        json!({ "block_out_channels": [32, 32, 32, 32, 32, 32, 32, 32, 32] }),
        json!({ "down_block_types": ["AttnDownEncoderBlock2D"] }),
        json!({ "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D"] }),
        json!({ "act_fn": "relu" }),
        json!({ "norm_num_groups": 0 }),
        json!({ "scaling_factor": 0.0 }),
        json!({ "latents_mean": [0.0] }),
    ] {
        assert!(
            matches!(vae(changes.clone()), Err(ConfigError::Field { .. })),
            "{changes}"
        );
    }
    assert!(AutoencoderKlConfig::from_json("{}").is_err());
    assert!(ClipTextConfig::from_json(r#"{ "hidden_size": 8 }"#).is_err());
}
