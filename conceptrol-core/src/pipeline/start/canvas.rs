//! The picture to start from, and the region of it that is repainted, at the size that is computed.

use burn::tensor::{Device, Tensor};
use image::{Rgb, RgbImage};

use crate::{
    mask::ConceptMask,
    models::image::{Filter, MaskImage, image_to_tensor, resize},
    pipeline::{ImageSize, start::Crop},
    seam::Grid,
};

/// From which value on a pixel of a mask belongs to the region.
const MARKED: f32 = 0.5;

/// A picture and a region of the size that is computed.
#[derive(Debug, Clone)]
pub(in crate::pipeline) struct Canvas {
    picture: RgbImage,
    /// 1 where it is repainted, 0 elsewhere.
    pub(super) region: Option<MaskImage>,
    pub(super) crop: Option<Crop>,
}

impl Canvas {
    /// Picture and mask are resized as Pillow does with Lanczos' filter in 8 bits; then the mask becomes 0 or 1. The other
    /// way round a resize would leave grey.
    pub(in crate::pipeline) fn new(
        picture: &RgbImage,
        mask: Option<&MaskImage>,
        padding: Option<u32>,
        size: ImageSize,
    ) -> Self {
        let side = |edge: usize| u32::try_from(edge).expect("sizes are limited");
        let (width, height) = (side(size.width), side(size.height));
        let whole = |picture: &RgbImage| resize(picture, width, height, Filter::Lanczos);
        let Some(mask) = mask.map(grey) else {
            return Self {
                picture: whole(picture),
                region: None,
                crop: None,
            };
        };
        let crop = padding.map(|padding| Crop::new(picture, &mask, padding, size));
        let [picture, mask] = match &crop {
            Some(crop) => crop.enlarged(width, height),
            None => [whole(picture), whole(&mask)],
        };
        Self {
            picture,
            region: Some(binary(&mask)),
            crop,
        }
    }

    /// The picture in -1..=1, `[1, 3, height, width]`.
    pub(in crate::pipeline) fn pixels(&self, device: &Device) -> Tensor<4> {
        image_to_tensor(&self.picture, device)
    }

    /// The same with 0, a middle grey, where it is repainted.
    pub(super) fn rest(&self, region: &ConceptMask, device: &Device) -> Tensor<4> {
        let Grid { height, width } = region.grid();
        let kept = region.values().clone().neg().add_scalar(1.0);
        self.pixels(device) * kept.reshape([1, 1, height, width])
    }
}

/// A mask in 8 bits, three times the same.
fn grey(mask: &MaskImage) -> RgbImage {
    let Grid { height, width } = mask.grid;
    let side = |edge: usize| u32::try_from(edge).expect("a mask has the size of a picture");
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "values are within 0..=1"
    )]
    let sample = |value: f32| (value * 255.0).round() as u8;
    RgbImage::from_fn(side(width), side(height), |x, y| {
        Rgb([sample(mask.values[y as usize * width + x as usize]); 3])
    })
}

/// 1 where a grey picture is 0.5 and above, and 0 elsewhere.
fn binary(mask: &RgbImage) -> MaskImage {
    let marked = |pixel: &Rgb<u8>| f32::from(pixel.0[0]) / 255.0 >= MARKED;
    MaskImage {
        grid: Grid::new(mask.height() as usize, mask.width() as usize),
        values: mask
            .pixels()
            .map(|pixel| f32::from(u8::from(marked(pixel))))
            .collect(),
        warning: None,
    }
}
