//! Folders with a part that is missing, damaged, or of another model: told when opened, with the file that is wrong.

use std::{fs, path::Path};

use conceptrol_core::message::chain;
use conceptrol_core::pipeline::Residency;
use conceptrol_flux::Flux;

use crate::tiny::{bare, copy, shallower};

/// What is wrong with a copy of the model that `change` changed; the same wherever its weights are to live.
fn fails(change: impl Fn(&Path)) -> String {
    let copy = copy();
    change(copy.path());
    let message = |residency| {
        let opened = Flux::open(copy.path(), bare().residency(residency));
        chain(&opened.expect_err("a broken folder"))
    };
    let expected = message(Residency::Memory);
    for residency in [Residency::WhileUsed, Residency::Disk] {
        assert_eq!(message(residency), expected);
    }
    expected
}

/// Replaces `old` by `new` in a file.
fn edit(file: &Path, old: &str, new: &str) {
    let text = fs::read_to_string(file).expect("text");
    assert!(text.contains(old), "{} has no {old}", file.display());
    fs::write(file, text.replacen(old, new, 1)).expect("writable");
}

#[test]
fn another_family_is_named() {
    let other = fails(|model| {
        let index = r#"{"_class_name": "StableDiffusionPipeline"}"#;
        fs::write(model.join("model_index.json"), index).expect("written");
    });
    assert!(
        other.contains("model_index.json: a StableDiffusionPipeline, expected FluxPipeline or "),
        "{other}"
    );
    let empty = tempfile::tempdir().expect("a folder");
    let empty = chain(&Flux::open(empty.path(), bare()).expect_err("refused"));
    assert!(empty.contains("model_index.json"), "{empty}");
}

#[test]
fn a_missing_shard_is_named() {
    let shard = "diffusion_pytorch_model-00002-of-00002.safetensors";
    let missing = fails(|model| {
        let transformer = model.join("transformer");
        fs::remove_file(transformer.join("diffusion_pytorch_model.safetensors")).expect("removed");
        let index =
            format!(r#"{{"metadata": {{}}, "weight_map": {{"x_embedder.weight": "{shard}"}}}}"#);
        let path = transformer.join("diffusion_pytorch_model.safetensors.index.json");
        fs::write(path, index).expect("written");
    });
    assert!(missing.contains(shard), "{missing}");
}

#[test]
fn nonsense_sizes_are_refused() {
    let huge = fails(|model| {
        let config = model.join("transformer/config.json");
        edit(
            &config,
            "\"num_layers\": 3",
            "\"num_layers\": 18446744073709551615",
        );
    });
    assert!(
        huge.contains("`num_layers` is 18446744073709551615"),
        "{huge}"
    );
}

/// Every configuration that is missing or garbled is named.
#[test]
fn files_that_cannot_be_read() {
    for file in [
        "model_index.json",
        "transformer/config.json",
        "vae/config.json",
        "text_encoder/config.json",
        "text_encoder_2/config.json",
        "scheduler/scheduler_config.json",
        "tokenizer/vocab.json",
        "tokenizer_2/tokenizer.json",
    ] {
        let missing = fails(|model| fs::remove_file(model.join(file)).expect("removed"));
        assert!(missing.contains(file), "{missing}");
        let garbled = fails(|model| fs::write(model.join(file), "{ \"a\": ").expect("written"));
        assert!(garbled.contains(file), "{file}: {garbled}");
    }
}

#[test]
fn a_field_that_cannot_be_is_named_with_its_file() {
    for (file, old, new, field) in [
        (
            "transformer/config.json",
            "\"num_attention_heads\": 2",
            "\"num_attention_heads\": 0",
            "num_attention_heads",
        ),
        (
            "vae/config.json",
            "\"norm_num_groups\": 4",
            "\"norm_num_groups\": 0",
            "norm_num_groups",
        ),
        (
            "text_encoder/config.json",
            "\"num_attention_heads\": 4",
            "\"num_attention_heads\": 5",
            "num_attention_heads",
        ),
        (
            "text_encoder_2/config.json",
            "\"d_kv\": 8",
            "\"d_kv\": 0",
            "d_kv",
        ),
        (
            "scheduler/scheduler_config.json",
            "\"shift\": 3.0",
            "\"shift\": -3.0",
            "shift",
        ),
    ] {
        let message = fails(|model| edit(&model.join(file), old, new));
        assert!(message.contains(file), "{file}: {message}");
        assert!(message.contains(field), "{field}: {message}");
    }
}

#[test]
fn parts_of_another_model() {
    let width = |file: &'static str, old: &'static str, new: &'static str| {
        fails(move |model| edit(&model.join(file), old, new))
    };
    assert_eq!(
        width(
            "text_encoder/config.json",
            "\"hidden_size\": 32",
            "\"hidden_size\": 48"
        ),
        "the pooled text (CLIP): 48 channels instead of 32"
    );
    assert_eq!(
        width(
            "text_encoder_2/config.json",
            "\"d_model\": 32",
            "\"d_model\": 48"
        ),
        "the text (T5): 48 channels instead of 32"
    );
    assert_eq!(
        width(
            "vae/config.json",
            "\"latent_channels\": 16",
            "\"latent_channels\": 4"
        ),
        "the autoencoder: 4 channels instead of 16"
    );
    // another autoencoder is no mistake by itself, but its weights have to be those of its configuration
    let shallow = fails(shallower);
    assert!(
        shallow.contains("vae/diffusion_pytorch_model.safetensors"),
        "{shallow}"
    );
}
