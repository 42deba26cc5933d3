//! The embedded FLUX: its folder says all that a request needs, and its latents are those of diffusers and of the code that
//! trained its adapter.

mod common;

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use common::{golden::Golden, max_difference};
use conceptrol_core::pipeline::{
    ConceptRequest, Family, ImageSize, LoadOptions, Mode, Pipeline, Silent,
};
use conceptrol_flux::{Flux, pipeline::Request};

fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/tiny-flux")
}

fn pipeline() -> Flux {
    let options = LoadOptions::new(Device::flex()).adapter(model().join("omini.safetensors"));
    Flux::open(model(), options).expect("the embedded model opens")
}

/// What `recipe/flux_package.py` computed.
fn golden() -> Golden {
    Golden::open("tiny_flux.safetensors")
}

fn request(golden: &Golden) -> Request {
    Request::new(golden.said("prompt"))
        .concept(ConceptRequest::new("rocket", golden.picture()))
        .seed(golden.number("seed"))
        .steps(golden.number("steps"))
        .guidance_scale(golden.number("guidance"))
}

fn latents(pipeline: &Flux, request: &Request) -> Vec<f32> {
    let generation = pipeline.generate(request, &mut Silent);
    let latents = generation.expect("a valid request").latents;
    latents.into_data().try_to_vec().expect("f32")
}

#[test]
fn latents_are_those_of_pytorch() {
    let (golden, pipeline) = (golden(), pipeline());
    for (mode, name) in [
        (Mode::TextOnly, "text_only"),
        (Mode::Adapter, "with_reference"),
    ] {
        let found = latents(&pipeline, &request(&golden).mode(mode));
        let difference = max_difference(&found, &golden.latents(name));
        // four steps in f32, whose sums are added up in another order
        assert!(difference < 1e-4, "{name}: {difference:e}");
    }
}

#[test]
fn the_folder_says_size_and_tokens() {
    let (golden, pipeline) = (golden(), pipeline());
    assert_eq!(pipeline.profile().multiple, 8, "an autoencoder of factor 4");
    assert_eq!(pipeline.profile().defaults.size, ImageSize::square(64));
    let own = latents(&pipeline, &request(&golden));
    let mut said = request(&golden).size(ImageSize::square(64));
    said.extra = said.extra.text_tokens(24);
    assert_eq!(own, latents(&pipeline, &said));
    said.extra = said.extra.text_tokens(32);
    assert_ne!(own, latents(&pipeline, &said), "padding is attended");
}

#[test]
fn conceptrol_differs_from_text_and_plain_and_is_deterministic() {
    let (golden, pipeline) = (golden(), pipeline());
    let in_mode = |mode| latents(&pipeline, &request(&golden).mode(mode));
    let [text, plain, gated] = [Mode::TextOnly, Mode::Adapter, Mode::Conceptrol].map(in_mode);
    assert_ne!(gated, plain);
    assert_ne!(gated, text);
    assert_eq!(
        gated,
        in_mode(Mode::Conceptrol),
        "the same seed, the same bits"
    );
}
