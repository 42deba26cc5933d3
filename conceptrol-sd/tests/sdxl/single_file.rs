//! A model in one file gives the pictures of its folder.

use std::{collections::BTreeMap, fs, path::Path};

use conceptrol_core::{
    models::{autoencoder_kl, clip_text, weights::Checkpoint},
    pipeline::{LoadOptions, Mode, Pipeline, Silent},
};
use conceptrol_sd::{StableDiffusion, config::UNetConfig, unet};

use crate::tiny::{folder, options, request};

/// The parts of the folder under the names of SGM.
fn original() -> Checkpoint {
    let folder = folder().join("model");
    let part = |name: &str| Checkpoint::open(folder.join(name)).unwrap();
    let config = UNetConfig::from_file(folder.join("unet/config.json")).unwrap();
    Checkpoint::together(
        "memory",
        [
            (
                "model.diffusion_model.",
                unet::original_names(&config, &part("unet")).unwrap(),
            ),
            (
                "first_stage_model.",
                autoencoder_kl::original_names(&part("vae")).unwrap(),
            ),
            ("conditioner.embedders.0.transformer.", part("text_encoder")),
            (
                "conditioner.embedders.1.model.",
                clip_text::open_clip_names(&part("text_encoder_2")).unwrap(),
            ),
        ],
    )
    .unwrap()
}

/// The last latents of a request without references.
fn latents(path: &Path, options: LoadOptions) -> Vec<f32> {
    let pipeline = StableDiffusion::open(path, options).unwrap();
    let generation = pipeline
        .generate(&request(&[]).mode(Mode::TextOnly), &mut Silent)
        .unwrap();
    generation.latents.into_data().try_into_vec().unwrap()
}

/// `sdxl.json` lists what the converters of diffusers made of this model (and its schedule and counters, which nobody needs).
#[test]
fn names_and_shapes_are_those_of_the_original() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/single_file/sdxl.json"
    );
    let mut listed: BTreeMap<String, Vec<usize>> =
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let left = |name: &str| {
        name.contains("alphas_cumprod")
            || name.ends_with("position_ids")
            || name.ends_with("logit_scale")
            || ["betas", "denoiser.sigmas", "model_ema."]
                .iter()
                .any(|begin| name.starts_with(begin))
    };
    listed.retain(|name, _| !left(name));
    let original = original();
    let made = original.tensors().map(|tensor| (tensor.name, tensor.shape));
    let mut made: BTreeMap<_, _> = made.collect();
    made.retain(|name, _| !left(name));
    assert_eq!(made, listed);
}

#[test]
fn the_picture_is_that_of_the_folder() {
    let work = tempfile::tempdir().unwrap();
    let file = work.path().join("model.safetensors");
    original().write(&file, None).unwrap();
    let configurations = folder().join("model");
    let from_file = latents(&file, options().configurations(&configurations));
    assert_eq!(from_file, latents(&configurations, options()));
    // what the model is does not depend on what replaces its UNet
    let replaced = options().part("unet", configurations.join("unet"));
    let error = StableDiffusion::open(&file, replaced).expect_err("of no published size");
    assert!(
        error.to_string().contains("for text of width 80"),
        "{error}"
    );
}

/// The parts of another model, whatever file they are in.
#[test]
fn parts_of_other_files() {
    let work = tempfile::tempdir().unwrap();
    let whole = work.path().join("model.safetensors");
    original().write(&whole, None).unwrap();
    let model = folder().join("model");
    let vae = work.path().join("vae.safetensors");
    let original_vae = original().strip_prefix("first_stage_model.");
    original_vae.write(&vae, None).unwrap();
    let wanted = latents(&model, options());
    for options in [
        options().part("vae", &whole),
        options().part("vae", &vae),
        options().part("unet", &whole),
        options().part("text_encoder_2", model.join("text_encoder_2")),
        options().part("text_encoder", model.join("text_encoder/model.safetensors")),
    ] {
        assert_eq!(latents(&model, options), wanted);
    }
    let text = StableDiffusion::open(&model, options().part("transformer", &vae)).unwrap_err();
    assert_eq!(
        text.to_string(),
        "Stable Diffusion has no part `transformer`"
    );
}

#[test]
fn what_is_left_over_is_known_and_all_else_is_refused() {
    let work = tempfile::tempdir().unwrap();
    let configurations = folder().join("model");
    let one = Checkpoint::open(configurations.join("vae")).unwrap();
    let one = one.rename(|name| (name == "quant_conv.bias").then(String::new));
    let open = |name: &'static str| {
        let file = work.path().join("model.safetensors");
        let all = [("", original()), (name, one.clone())];
        Checkpoint::together(&file, all)
            .unwrap()
            .write(&file, None)
            .unwrap();
        StableDiffusion::open(&file, options().configurations(&configurations))
    };
    for name in [
        "model_ema.decay",
        "betas",
        "alphas_cumprod_prev",
        "posterior_mean_coef1",
    ] {
        open(name).unwrap();
    }
    for name in [
        "model.diffusion_model.extra",
        "first_stage_model.extra",
        "extra.weight",
    ] {
        let text = open(name).unwrap_err().to_string();
        assert!(
            text.contains("1 unexpected") && text.contains("extra"),
            "{name}: {text}"
        );
    }
}

#[test]
fn sizes_that_nobody_published_need_configurations() {
    let work = tempfile::tempdir().unwrap();
    let file = work.path().join("model.safetensors");
    original().write(&file, None).unwrap();
    let text = StableDiffusion::open(&file, options())
        .unwrap_err()
        .to_string();
    assert!(text.contains("give a folder of configurations"), "{text}");
}
