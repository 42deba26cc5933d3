//! Folders with a part that is missing, damaged, or of another model.

use std::{fs, path::Path};

use burn::tensor::Device;
use conceptrol_core::message::chain;
use conceptrol_core::pipeline::{LoadOptions, Pipeline, Residency, Silent};
use conceptrol_sd::StableDiffusion;

use crate::tiny::{copy, edit, folder, options, request};

/// A copy of the tiny model, changed by `change`, asked for a picture: what is wrong with it.
fn fails(change: impl Fn(&Path)) -> String {
    let copy = copy();
    let model = copy.path().join("model");
    change(&model);
    let error = StableDiffusion::open(model, options())
        .and_then(|pipeline| pipeline.generate(&request(&[]), &mut Silent))
        .expect_err("a broken folder");
    chain(&error)
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
    assert_eq!(
        no_projection,
        "text_encoder_2: 0 text projections instead of 1"
    );
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

/// A UNet that is made for something else.
#[test]
fn a_unet_of_other_channels() {
    let opens = |old: &'static str, new: &'static str| {
        let copy = copy();
        edit(&copy.path().join("model/unet/config.json"), old, new);
        let opened = StableDiffusion::open(copy.path().join("model"), options());
        opened.expect_err("other channels").to_string()
    };
    for channels in ["5", "13"] {
        let new = format!("\"in_channels\": {channels}").leak();
        assert_eq!(
            opens("\"in_channels\": 4", new),
            format!("the UNet's input: {channels} channels instead of 4")
        );
    }
    assert_eq!(
        opens("\"out_channels\": 4", "\"out_channels\": 8"),
        "the UNet's output: 8 channels instead of 4"
    );
}

/// Told when opened, with the file: there are two text encoders.
#[test]
fn a_field_that_cannot_be_is_named_with_its_file() {
    for (file, old, new, field) in [
        (
            "unet/config.json",
            "\"norm_num_groups\": 4",
            "\"norm_num_groups\": 0",
            "norm_num_groups",
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
            "\"num_attention_heads\": 4",
            "\"num_attention_heads\": 5",
            "num_attention_heads",
        ),
        (
            "scheduler/scheduler_config.json",
            "\"epsilon\"",
            "\"epsilom\"",
            "prediction_type",
        ),
    ] {
        let message = fails(|model| edit(&model.join(file), old, new));
        assert!(message.contains(file), "{file}: {message}");
        assert!(message.contains(field), "{field}: {message}");
    }
    let image_encoder = {
        let copy = copy();
        let config = copy.path().join("image_encoder/config.json");
        edit(
            &config,
            "\"num_attention_heads\": 4",
            "\"num_attention_heads\": 5",
        );
        let adapter = (
            folder().join("ip_adapter.safetensors"),
            copy.path().join("image_encoder"),
        );
        let options = LoadOptions::new(Device::flex()).adapter(adapter);
        let opened = StableDiffusion::open(folder().join("model"), options);
        let error = opened
            .expect("opens")
            .generate(&request(&["statue"]), &mut Silent);
        chain(&error.expect_err("five heads"))
    };
    assert!(
        image_encoder.contains("image_encoder/config.json"),
        "{image_encoder}"
    );
    assert!(
        image_encoder.contains("num_attention_heads"),
        "{image_encoder}"
    );
}

#[test]
fn weights_cannot_stay_on_disk() {
    let options = options().residency(Residency::Disk);
    let error = StableDiffusion::open(folder().join("model"), options).expect_err("refused");
    assert!(
        error
            .to_string()
            .starts_with("Stable Diffusion has no weights that stay on disk"),
        "{error}"
    );
}

/// A part from elsewhere comes with the configuration beside it.
#[test]
fn a_part_with_a_configuration_of_its_own() {
    let copy = copy();
    let other = copy.path().join("model/vae");
    let factor = "\"scaling_factor\": 0.13025";
    edit(
        &other.join("config.json"),
        factor,
        "\"scaling_factor\": 0.5",
    );
    let file = fs::read_dir(&other)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let file = file
        .into_iter()
        .find(|path| path.extension() == Some("safetensors".as_ref()));
    let loose = copy.path().join("loose.safetensors");
    fs::copy(file.as_ref().unwrap(), &loose).unwrap();
    for (part, expected) in [(other, 0.5), (file.unwrap(), 0.5), (loose, 0.13025)] {
        let pipeline = StableDiffusion::open(folder().join("model"), options().part("vae", &part));
        let found = pipeline.expect("it fits").vae_config().scaling_factor;
        assert!(
            (found - expected).abs() < 1e-6,
            "{}: {found}",
            part.display()
        );
    }
}
