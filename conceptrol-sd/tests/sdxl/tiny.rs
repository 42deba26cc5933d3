//! The tiny model, requests to it, and what comes out.

use std::{
    fs,
    path::{Path, PathBuf},
};

use burn::tensor::Device;
use conceptrol_core::{
    SiteSelector,
    mask::ConceptBlock,
    pipeline::{ConceptRequest, ImageSize, LoadOptions, Pipeline, Silent},
};
use conceptrol_sd::{StableDiffusion, pipeline::Request};
use image::{Rgb, RgbImage};

use crate::common::largest;

pub(crate) const PROMPT: &str =
    "A statue is reading the book in the cafe, best quality, high quality";

/// `model`, `image_encoder` and `ip_adapter.safetensors`.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sdxl")
}

pub(crate) fn options() -> LoadOptions {
    LoadOptions::new(Device::flex())
}

pub(crate) fn pipeline(adapters: usize) -> StableDiffusion {
    open(adapters, options())
}

/// With the adapter so many times.
pub(crate) fn open(adapters: usize, options: LoadOptions) -> StableDiffusion {
    open_in(&folder(), adapters, options)
}

/// The same in a copy of the folder.
pub(crate) fn open_in(folder: &Path, adapters: usize, options: LoadOptions) -> StableDiffusion {
    let adapter = || {
        let weights = folder.join("ip_adapter.safetensors");
        (weights, folder.join("image_encoder"))
    };
    let options = (0..adapters).fold(options, |options, _| options.adapter(adapter()));
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
    let site = "up_blocks.0.attentions.1.transformer_blocks.3.attn2";
    let mut request = Request::new(PROMPT)
        .steps(2)
        .guidance_scale(6.0)
        .seed(3)
        .size(ImageSize::square(64))
        .mask_source(ConceptBlock::cross(SiteSelector::named(site)));
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

/// A copy of the folder that a test may change.
pub(crate) fn copy() -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a temporary folder");
    copy_all(&folder(), copy.path());
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

/// Replaces `old` by `new` in a file.
pub(crate) fn edit(file: &Path, old: &str, new: &str) {
    let text = fs::read_to_string(file).expect("text");
    assert!(text.contains(old), "{} has no {old}", file.display());
    fs::write(file, text.replacen(old, new, 1)).expect("writable");
}

/// Writes `value` over the first number of a tensor of f32.
pub(crate) fn poison(file: &Path, tensor: &str, value: f32) {
    let mut bytes = fs::read(file).expect("a file");
    let at = {
        let tensors = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
        let view = tensors.tensor(tensor).expect("a tensor");
        assert_eq!(view.dtype(), safetensors::Dtype::F32);
        view.data().as_ptr() as usize - bytes.as_ptr() as usize
    };
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    fs::write(file, bytes).expect("written");
}
