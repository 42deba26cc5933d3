//! Folders with a part that is missing or does not belong there.

use std::{fs, path::Path};

use burn::tensor::Device;
use conceptrol_sd::pipeline::{LoadOptions, Silent, StableDiffusion};

use crate::tiny::{folder, request};

/// A copy of the tiny model, changed by `change`, asked for a picture: what is wrong with it.
fn fails(change: impl Fn(&Path)) -> String {
    let copy = tempfile::tempdir().expect("a temporary folder");
    copy_all(&folder().join("model"), copy.path());
    change(copy.path());
    StableDiffusion::open(copy.path(), LoadOptions::new(Device::flex()))
        .and_then(|pipeline| pipeline.generate(&request(&[]), &mut Silent))
        .expect_err("a broken folder")
        .to_string()
}

fn copy_all(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("readable");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            fs::create_dir(&to).expect("a new folder");
            copy_all(&from, &to);
        } else {
            fs::write(&to, fs::read(&from).expect("readable")).expect("writable");
        }
    }
}

/// Replaces `old` by `new` in a file.
fn edit(file: &Path, old: &str, new: &str) {
    let text = fs::read_to_string(file).expect("text");
    assert!(text.contains(old), "{} has no {old}", file.display());
    fs::write(file, text.replacen(old, new, 1)).expect("writable");
}

#[test]
fn text_encoders_of_another_model() {
    let no_second = fails(|model| fs::remove_dir_all(model.join("text_encoder_2")).unwrap());
    assert_eq!(no_second, "the text: 32 channels instead of 80");
    let sizes = fails(|model| {
        edit(
            &model.join("unet/config.json"),
            "input_dim\": 88",
            "input_dim\": 96",
        );
    });
    assert_eq!(
        sizes,
        "pooled text with picture sizes: 88 channels instead of 96"
    );
    let no_tokenizer = fails(|model| fs::remove_dir_all(model.join("tokenizer_2")).unwrap());
    assert!(no_tokenizer.contains("tokenizer_2"), "{no_tokenizer}");
    let no_projection = fails(|model| {
        let config = model.join("text_encoder_2/config.json");
        edit(&config, "CLIPTextModelWithProjection", "CLIPTextModel");
    });
    assert!(no_projection.contains("text_projection"), "{no_projection}");
}

#[test]
fn configurations_that_are_missing_or_of_another_model() {
    for file in [
        "model_index.json",
        "unet/config.json",
        "vae/config.json",
        "scheduler/scheduler_config.json",
    ] {
        let missing = fails(|model| fs::remove_file(model.join(file)).unwrap());
        assert!(missing.contains(file), "{missing}");
        let garbled = fails(|model| fs::write(model.join(file), "{ \"a\": ").unwrap());
        assert!(garbled.contains("column"), "{file}: {garbled}");
    }
    let other = fails(|model| {
        edit(
            &model.join("model_index.json"),
            "StableDiffusionXLPipeline",
            "FluxPipeline",
        );
    });
    assert!(other.contains("a FluxPipeline"), "{other}");
    let deeper = fails(|model| {
        edit(
            &model.join("unet/config.json"),
            "\"block_out_channels\": [\n    8",
            "\"block_out_channels\": [\n    16",
        );
    });
    assert!(deeper.contains("conv_in.weight"), "{deeper}");
}

#[test]
fn weights_that_are_cut_short() {
    for part in ["unet", "vae", "text_encoder", "text_encoder_2"] {
        let cut = fails(|model| {
            let weights = fs::read_dir(model.join(part))
                .unwrap()
                .map(|entry| entry.unwrap().path());
            let weights = weights
                .into_iter()
                .find(|path| path.extension() == Some("safetensors".as_ref()))
                .unwrap();
            let bytes = fs::read(&weights).unwrap();
            fs::write(weights, &bytes[..bytes.len() - 100]).unwrap();
        });
        assert!(cut.contains(part), "{part}: {cut}");
    }
}
