//! A finished generation.

use burn::tensor::Tensor;
use image::RgbImage;

use crate::{
    mask::ConceptMask,
    models::{image::MaskImage, tokenizer::Truncation},
    pipeline::LocatedConcept,
    seam::Captures,
};

/// The outcome of a generation.
#[derive(Debug)]
#[non_exhaustive]
pub struct Generation {
    /// The pictures: those of the first prompt, then those of the next.
    pub images: Vec<RgbImage>,
    /// The seed of each picture: alone it comes out the same.
    pub seeds: Vec<u64>,
    /// Their latents, `[images, channels, height, width]`.
    pub latents: Tensor<4>,
    /// The mask of each concept that was published last, if one was.
    pub masks: Vec<Option<ConceptMask>>,
    /// Where the words of each concept are: `[prompt][concept]`.
    pub located: Vec<Vec<LocatedConcept>>,
    /// What the text encoder did not see of each prompt.
    pub truncated: Vec<Option<Truncation>>,
    /// The region of the picture it starts from that was repainted, as it was drawn or found: a value for each pixel of that
    /// picture.
    pub region: Option<MaskImage>,
    /// What capture layers recorded.
    pub captures: Captures,
}
