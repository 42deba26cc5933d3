//! The tiny model, requests to it, and what comes out.

use std::path::PathBuf;

use burn::tensor::Device;
use conceptrol_core::{SiteSelector, mask::ConceptBlock};
use conceptrol_sd::pipeline::{ConceptRequest, LoadOptions, Request, Silent, StableDiffusion};
use image::{Rgb, RgbImage};

use crate::common::largest;

pub(crate) const PROMPT: &str =
    "A statue is reading the book in the cafe, best quality, high quality";

/// `model`, `image_encoder` and `ip_adapter.safetensors`.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sdxl")
}

pub(crate) fn pipeline(adapters: usize) -> StableDiffusion {
    open(adapters, LoadOptions::new(Device::flex()))
}

/// With the adapter so many times.
pub(crate) fn open(adapters: usize, mut options: LoadOptions) -> StableDiffusion {
    let folder = folder();
    for _ in 0..adapters {
        options = options.adapter(
            folder.join("ip_adapter.safetensors"),
            folder.join("image_encoder"),
        );
    }
    StableDiffusion::open(folder.join("model"), options).expect("the tiny model opens")
}

/// A picture with a pattern that depends on `seed`.
pub(crate) fn picture(seed: u32) -> RgbImage {
    RgbImage::from_fn(40, 56, |x, y| {
        let value = |k: u32| ((x * (3 + seed) + y * 7 * k + seed * 31) % 256) as u8;
        Rgb([value(1), value(2), value(5)])
    })
}

pub(crate) fn request(words: &[&str]) -> Request {
    let mut request = Request::new(PROMPT).steps(2).guidance_scale(6.0).seed(3);
    request.size = Some((64, 64));
    let site = "up_blocks.0.attentions.1.transformer_blocks.3.attn2";
    request.mask_source = Some(std::sync::Arc::new(ConceptBlock::cross(
        SiteSelector::named(site),
    )));
    for (seed, word) in (0..).zip(words) {
        request = request.concept(ConceptRequest::new(*word, picture(seed)));
    }
    request
}

pub(crate) fn latents(pipeline: &StableDiffusion, request: &Request) -> Vec<f32> {
    let generation = pipeline
        .generate(request, &mut Silent)
        .expect("a valid request");
    let values: Vec<f32> = generation.latents.into_data().try_to_vec().expect("f32");
    assert!(
        values.iter().all(|value| value.is_finite()),
        "finite latents"
    );
    values
}

/// Latents have a standard deviation of about 10 after so few steps; what is added up in another order
/// differs by roundings.
const SAME: f32 = 2e-3;

pub(crate) fn assert_same(a: &[f32], b: &[f32], what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    let difference = largest(a.iter().zip(b).map(|(a, b)| (a - b).abs()));
    assert!(difference < SAME, "{what}: differs by {difference}");
}
