//! Numbers that are not finite are an error that names where they arose, never a black picture.

use burn::tensor::FloatDType;
use conceptrol_core::pipeline::{Mode, Pipeline, PipelineError, Silent, Stage};
use conceptrol_sd::{StableDiffusion, pipeline::Request};

use crate::tiny::{copy, edit, open_in, options, pipeline, poison, request};

/// What, where and in which type.
fn not_finite(pipeline: &StableDiffusion, request: &Request) -> (String, Stage, String) {
    let outcome = pipeline.generate(request, &mut Silent);
    match outcome.expect_err("numbers that are not finite") {
        PipelineError::NotFinite {
            what,
            stage,
            dtype,
            advice,
            ..
        } => {
            assert!(!advice.is_empty());
            (what, stage, dtype)
        }
        other => panic!("{other}"),
    }
}

const FIRST: Stage = Stage::Denoising { done: 1, total: 2 };
const DECODING: Stage = Stage::Decoding { done: 0, total: 1 };

#[test]
fn damaged_files() {
    for (file, tensor, what, stage) in [
        (
            "ip_adapter.safetensors",
            "image_proj.proj_out.bias",
            "the image tokens of concept `statue`",
            Stage::Encoding,
        ),
        (
            "image_encoder/model.safetensors",
            "vision_model.embeddings.class_embedding",
            "the image tokens of concept `statue`",
            Stage::Encoding,
        ),
        (
            "ip_adapter.safetensors",
            "ip_adapter.1.to_v_ip.weight",
            "the latents",
            FIRST,
        ),
        (
            "model/unet/diffusion_pytorch_model.safetensors",
            "conv_in.bias",
            "the latents",
            FIRST,
        ),
        (
            "model/text_encoder_2/model.safetensors",
            "text_model.final_layer_norm.bias",
            "the latents",
            FIRST,
        ),
        (
            "model/vae/diffusion_pytorch_model.safetensors",
            "decoder.conv_out.bias",
            "the pixels",
            DECODING,
        ),
    ] {
        for bad in [f32::NAN, f32::INFINITY] {
            let copy = copy();
            poison(&copy.path().join(file), tensor, bad);
            let pipeline = open_in(copy.path(), 1, options());
            let found = not_finite(&pipeline, &request(&["statue"]));
            assert_eq!(
                found,
                (what.into(), stage, "f32".into()),
                "{bad} in {tensor}"
            );
        }
    }
}

#[test]
fn strengths_that_overflow() {
    let pipeline = pipeline(1);
    for request in [
        request(&["statue"]).guidance_scale(3e38),
        request(&["statue"]).guidance_scale(1e300),
        request(&["statue"]).mode(Mode::Adapter).scale(f32::MAX),
        request(&["statue"]).scale(f32::MAX),
    ] {
        let (what, stage, _) = not_finite(&pipeline, &request);
        println!("{what} {stage}");
    }
}

/// The published SDXL autoencoder, in half precision: what overflows there is told with advice to compute in another type.
#[test]
fn an_autoencoder_that_overflows_in_half_precision() {
    let copy = copy();
    let vae = copy.path().join("model/vae");
    edit(
        &vae.join("config.json"),
        "\"force_upcast\": true",
        "\"force_upcast\": false",
    );
    let weights = vae.join("diffusion_pytorch_model.safetensors");
    poison(&weights, "decoder.conv_in.bias", 1e6);
    let half = open_in(copy.path(), 1, options().dtype(FloatDType::F16));
    let error = half.generate(&request(&["statue"]), &mut Silent);
    assert_eq!(
        error.expect_err("overflows").to_string(),
        "the pixels are not finite while decoding, 0 of 1 done in f16: try f32 or bf16; try another autoencoder"
    );
    let single = open_in(copy.path(), 1, options());
    assert!(single.generate(&request(&["statue"]), &mut Silent).is_ok());
}
