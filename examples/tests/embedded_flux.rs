//! The embedded FLUX: its folder says all that a request needs, and its latents are those of diffusers and of the code that
//! trained its adapter.

mod common;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use burn::tensor::Device;
use conceptrol_core::{
    models::image::RgbImage,
    pipeline::{ConceptRequest, Family, ImageSize, LoadOptions, Mode, Pipeline, Silent},
};
use conceptrol_flux::{Flux, pipeline::Request};
use safetensors::SafeTensors;

use common::max_difference;

fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/tiny-flux")
}

fn pipeline() -> Flux {
    let options = LoadOptions::new(Device::flex()).adapter(model().join("omini.safetensors"));
    Flux::open(model(), options).expect("the embedded model opens")
}

/// Latents that `recipe/flux_package.py` computed in PyTorch, and the request they answer.
struct Golden {
    tensors: HashMap<String, Vec<u8>>,
    said: HashMap<String, String>,
}

impl Golden {
    fn open() -> Self {
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny_flux.safetensors");
        let bytes = std::fs::read(file).expect("a committed file");
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("safetensors");
        let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
        let tensors = tensors.tensors().into_iter();
        Self {
            tensors: tensors
                .map(|(name, view)| (name, view.data().to_vec()))
                .collect(),
            said: header.metadata().clone().expect("what was asked for"),
        }
    }

    fn request(&self) -> Request {
        let said = |name: &str| self.said[name].as_str();
        let picture = self.tensors["picture"].clone();
        let picture = RgbImage::from_raw(64, 64, picture).expect("64 x 64 pixels");
        Request::new(said("prompt"))
            .concept(ConceptRequest::new("rocket", picture))
            .seed(said("seed").parse().expect("a number"))
            .steps(said("steps").parse().expect("a number"))
            .guidance_scale(said("guidance").parse().expect("a number"))
    }

    fn latents(&self, name: &str) -> Vec<f32> {
        let bytes = self.tensors[name].chunks_exact(4);
        let number = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().expect("4 bytes"));
        bytes.map(number).collect()
    }
}

fn latents(pipeline: &Flux, request: &Request) -> Vec<f32> {
    let generation = pipeline.generate(request, &mut Silent);
    let latents = generation.expect("a valid request").latents;
    latents.into_data().try_to_vec().expect("f32")
}

#[test]
fn latents_are_those_of_pytorch() {
    let (golden, pipeline) = (Golden::open(), pipeline());
    for (mode, name) in [
        (Mode::TextOnly, "text_only"),
        (Mode::Adapter, "with_reference"),
    ] {
        let found = latents(&pipeline, &golden.request().mode(mode));
        let difference = max_difference(&found, &golden.latents(name));
        // four steps in f32, whose sums are added up in another order
        assert!(difference < 1e-4, "{name}: {difference:e}");
    }
}

#[test]
fn the_folder_says_size_and_tokens() {
    let (golden, pipeline) = (Golden::open(), pipeline());
    assert_eq!(pipeline.profile().multiple, 8, "an autoencoder of factor 4");
    assert_eq!(pipeline.profile().defaults.size, ImageSize::square(64));
    let own = latents(&pipeline, &golden.request());
    let mut said = golden.request().size(ImageSize::square(64));
    said.extra = said.extra.text_tokens(24);
    assert_eq!(own, latents(&pipeline, &said));
    said.extra = said.extra.text_tokens(32);
    assert_ne!(own, latents(&pipeline, &said), "padding is attended");
}

#[test]
fn conceptrol_differs_from_text_and_plain_and_is_deterministic() {
    let (golden, pipeline) = (Golden::open(), pipeline());
    let in_mode = |mode| latents(&pipeline, &golden.request().mode(mode));
    let [text, plain, gated] = [Mode::TextOnly, Mode::Adapter, Mode::Conceptrol].map(in_mode);
    assert_ne!(gated, plain);
    assert_ne!(gated, text);
    assert_eq!(
        gated,
        in_mode(Mode::Conceptrol),
        "the same seed, the same bits"
    );
}
