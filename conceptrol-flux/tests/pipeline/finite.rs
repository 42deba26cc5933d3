//! Numbers that are not finite are an error that names where they arose, never a black picture.

use std::{fs, path::Path};

use burn::tensor::FloatDType;
use conceptrol_core::pipeline::{Pipeline, PipelineError, Silent, Stage};
use conceptrol_flux::{Flux, pipeline::Request};
use safetensors::SafeTensors;

use crate::tiny::{bare, copy, flux, latents, lora, open, options, request};

/// What, where and in which type.
fn not_finite(flux: &Flux, request: &Request) -> (String, Stage, String) {
    let outcome = flux.generate(request, &mut Silent);
    match outcome.expect_err("numbers that are not finite") {
        PipelineError::NotFinite {
            what,
            stage,
            dtype,
            advice,
        } => {
            assert!(!advice.is_empty());
            (what, stage, dtype)
        }
        other => panic!("{other}"),
    }
}

/// Writes `value` over the first number of a tensor of f32.
fn poison(file: &Path, tensor: &str, value: f32) {
    let mut bytes = fs::read(file).expect("a file");
    let at = {
        let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
        let view = tensors.tensor(tensor).expect("a tensor");
        assert_eq!(view.dtype(), safetensors::Dtype::F32);
        view.data().as_ptr() as usize - bytes.as_ptr() as usize
    };
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    fs::write(file, bytes).expect("written");
}

const FIRST: Stage = Stage::Denoising { done: 1, total: 2 };

#[test]
fn a_damaged_adapter() {
    let folder = tempfile::tempdir().expect("a folder");
    let damaged = folder.path().join("lora.safetensors");
    fs::copy(lora(), &damaged).expect("copied");
    // of the values that every latent reads; the last block's would reach nothing
    let name = "transformer.transformer_blocks.0.attn.to_v.lora_B.weight";
    poison(&damaged, name, f32::NAN);
    let flux = open(bare().adapter(damaged));
    let (what, stage, dtype) = not_finite(&flux, &request());
    assert_eq!(
        (what.as_str(), stage, dtype.as_str()),
        ("the latents", FIRST, "f32")
    );
}

#[test]
fn damaged_parts_of_the_model() {
    for (file, tensor, expected) in [
        (
            "transformer/diffusion_pytorch_model.safetensors",
            "x_embedder.weight",
            FIRST,
        ),
        (
            "text_encoder/model.safetensors",
            "text_model.final_layer_norm.weight",
            FIRST,
        ),
        (
            "vae/diffusion_pytorch_model.safetensors",
            "decoder.conv_out.bias",
            Stage::Decoding { done: 0, total: 1 },
        ),
    ] {
        let copy = copy();
        poison(&copy.path().join(file), tensor, f32::NAN);
        let flux = Flux::open(copy.path(), options()).expect("opens");
        let (_, stage, _) = not_finite(&flux, &request());
        assert_eq!(stage, expected, "{file}");
    }
}

#[test]
fn strengths_that_overflow() {
    // the logarithm of a strength is small: even the largest is a finite picture
    let flux = flux();
    assert!(
        latents(&flux, &request().scale(3.4e38))
            .iter()
            .all(|x| x.is_finite())
    );
    let mut both = request().scale(3.4e38);
    both.concepts[0].scale = 3.4e38;
    let (_, stage, _) = not_finite(&flux, &both);
    assert_eq!(stage, FIRST);
    let (_, stage, _) = not_finite(&flux, &request().guidance_scale(1e300));
    assert_eq!(stage, FIRST);
    let (_, stage, _) = not_finite(&flux, &request().guidance_scale(3e38));
    assert_eq!(stage, FIRST);
    let style = open(options().lora(lora(), 1e308));
    let (_, stage, _) = not_finite(&style, &request());
    assert_eq!(stage, FIRST);
}

/// What overflows half precision is told with advice to compute in another type.
#[test]
fn an_overflow_of_half_precision() {
    let copy = copy();
    let vae = copy.path().join("vae");
    let config = fs::read_to_string(vae.join("config.json")).expect("text");
    let config = config.replace("\"force_upcast\": true", "\"force_upcast\": false");
    fs::write(vae.join("config.json"), config).expect("written");
    let weights = vae.join("diffusion_pytorch_model.safetensors");
    poison(&weights, "decoder.conv_in.bias", 1e6);
    let half = Flux::open(copy.path(), options().dtype(FloatDType::F16)).expect("opens");
    let error = half
        .generate(&request(), &mut Silent)
        .expect_err("overflows");
    assert_eq!(
        error.to_string(),
        "the pixels are not finite while decoding, 0 of 1 done in f16: try f32 or bf16; try another autoencoder"
    );
    let single = Flux::open(copy.path(), options()).expect("opens");
    assert!(single.generate(&request(), &mut Silent).is_ok());
}
