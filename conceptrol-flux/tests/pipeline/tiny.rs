//! The tiny model, requests to it, and what comes out.

use std::{fs, path::Path, path::PathBuf};

use burn::tensor::Device;
use conceptrol_core::{
    AttentionPlan,
    pipeline::{ConceptRequest, Generation, ImageSize, LoadOptions, Pipeline, Silent},
};
use conceptrol_flux::{
    Flux,
    omini::ConditionSize,
    pipeline::{FluxOptions, Request},
};
use image::{Rgb, RgbImage};

use crate::common::fixtures;

pub(crate) const PROMPT: &str = "a man is wearing a t-shirt in the library";

pub(crate) fn model() -> PathBuf {
    fixtures().join("models/flux_dev")
}

pub(crate) fn lora() -> PathBuf {
    fixtures().join("models/flux_dev_subject_lora/lora.safetensors")
}

/// The folder of a tiny Redux.
pub(crate) fn redux() -> PathBuf {
    let crate_local = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    crate_local.join("models/flux_redux")
}

/// Without any adapter.
pub(crate) fn bare() -> LoadOptions<FluxOptions> {
    LoadOptions::new(Device::flex())
}

/// With the adapter that reads reference pictures.
pub(crate) fn options() -> LoadOptions<FluxOptions> {
    bare().adapter(lora())
}

pub(crate) fn open(options: LoadOptions<FluxOptions>) -> Flux {
    Flux::open(model(), options).expect("the tiny model opens")
}

pub(crate) fn flux() -> Flux {
    open(options())
}

pub(crate) fn reference(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([(13 * x) as u8, (29 * y) as u8, (x * y) as u8])
    })
}

/// 48 x 64 pixels, with two references of other aspects, one of them higher than the picture.
pub(crate) fn request() -> Request {
    let mut request = Request::new(PROMPT)
        .concept(ConceptRequest::new("t-shirt", reference(40, 90)))
        .concept(ConceptRequest::new("library", reference(64, 20)))
        .size(ImageSize::new(48, 64))
        .steps(2)
        .seed(3);
    request.extra = request
        .extra
        .text_tokens(32)
        .condition_size(ConditionSize::Area(64 * 48));
    request
}

/// The same with the first concept only.
pub(crate) fn one_concept() -> Request {
    let mut request = request();
    request.concepts.truncate(1);
    request
}

pub(crate) fn generate(flux: &Flux, request: &Request) -> Generation {
    generated(flux.generate(request, &mut Silent), request)
}

pub(crate) fn generate_with(flux: &Flux, plan: &AttentionPlan, request: &Request) -> Generation {
    generated(flux.generate_with(plan, request, &mut Silent), request)
}

fn generated<E: std::fmt::Debug>(outcome: Result<Generation, E>, request: &Request) -> Generation {
    let generation = outcome.expect("a picture");
    let size = request.size.expect("a size");
    assert_eq!(generation.images.len(), request.images());
    for (index, image) in generation.images.iter().enumerate() {
        assert_eq!(
            image.dimensions(),
            (size.width as u32, size.height as u32),
            "picture {index}"
        );
    }
    generation
}

/// The latents of a generation.
pub(crate) fn latents(flux: &Flux, request: &Request) -> Vec<f32> {
    numbers(&generate(flux, request))
}

pub(crate) fn numbers(generation: &Generation) -> Vec<f32> {
    let latents = generation.latents.clone().into_data();
    latents.try_to_vec().expect("latents are f32")
}

/// The bytes of latents and colours of each picture.
pub(crate) fn pictures(flux: &Flux, request: &Request) -> Vec<(Vec<u8>, Vec<u8>)> {
    let generation = generate(flux, request);
    let latents = generation.latents.into_data();
    let each = latents.as_bytes().len() / generation.images.len();
    let latents = latents.as_bytes().chunks(each).map(<[u8]>::to_vec);
    let colours = generation.images.into_iter().map(RgbImage::into_raw);
    latents.zip(colours).collect()
}

/// Largest difference in units of the largest number of `b`.
pub(crate) fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "as many latents");
    let finite = a.iter().chain(b).all(|x| x.is_finite());
    assert!(finite, "latents are finite");
    let largest = |numbers: &mut dyn Iterator<Item = f32>| numbers.fold(0.0, f32::max);
    let scale = largest(&mut b.iter().map(|x| x.abs()));
    assert!(scale > 0.0, "latents are not all zero");
    largest(&mut a.iter().zip(b).map(|(a, b)| (a - b).abs())) / scale
}

/// A copy of the model's folder that a test may change.
pub(crate) fn copy() -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a temporary folder");
    copy_all(&model(), copy.path());
    copy
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

/// Takes a level from the autoencoder's configuration.
pub(crate) fn shallower(model: &Path) {
    let config = model.join("vae/config.json");
    let text = fs::read_to_string(&config).expect("text");
    let mut vae: serde_json::Value = serde_json::from_str(&text).expect("json");
    for list in ["block_out_channels", "down_block_types", "up_block_types"] {
        vae[list].as_array_mut().expect("a list").pop();
    }
    fs::write(&config, vae.to_string()).expect("written");
}
