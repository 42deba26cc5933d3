//! A picture that says where something is.

use std::fmt;
use std::path::Path;

use burn::tensor::{DType, Device, Tensor, TensorData};
use image::DynamicImage;

use super::convert::{luma, to_rgb};
use super::decode::{picture, read};
use super::error::ImageError;
use crate::mask::ConceptMask;
use crate::seam::Grid;

/// Below this a mask is as good as black; labels 0 and 1 of an 8-bit picture are.
const DARK: f32 = 2.0 / 255.0;

/// How strongly something is meant at each pixel, from a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct MaskImage {
    /// Height and width in pixels.
    pub grid: Grid,
    /// 0 to 1, row by row: `[height, width]`.
    pub values: Vec<f32>,
    /// What the caller should be told of it.
    pub warning: Option<MaskWarning>,
}

/// A mask that can be used and is hardly what its maker meant.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum MaskWarning {
    /// All values are equal: it selects nothing.
    Even {
        /// The value.
        value: f32,
    },
    /// All values are below 2/255.
    Dark {
        /// The largest of them.
        largest: f32,
    },
}

impl fmt::Display for MaskWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Even { value } => write!(
                f,
                "all values of the mask are equal ({value:.3} of 1): it does not say where"
            ),
            Self::Dark { largest } => write!(
                f,
                "all values of the mask are below 2/255 (the largest is {largest:.4} of 1): \
                 labels 0 and 1 must become 0 and 255"
            ),
        }
    }
}

/// Reads a PNG, JPEG or WebP file as a mask; see [`decode_mask`].
///
/// # Errors
/// [`ImageError::File`] with the file and what is wrong.
pub fn open_mask(path: impl AsRef<Path>) -> Result<MaskImage, ImageError> {
    let path = path.as_ref();
    read(path)
        .and_then(|bytes| decode_mask(&bytes))
        .map_err(|error| error.at(path))
}

/// Decodes a PNG, JPEG or WebP picture as a mask.
///
/// Where the picture has an alpha channel, that is the mask: drawing programs save a selection so, and the colours below
/// mean nothing. An alpha that is opaque everywhere says nothing; then, and without one, the mask is the brightness, as
/// Pillow's `convert("L")` computes it. 16 bits are kept.
///
/// # Errors
/// Those of [`decode`](super::decode).
pub fn decode_mask(bytes: &[u8]) -> Result<MaskImage, ImageError> {
    let picture = picture(bytes)?;
    let grid = Grid::new(picture.height() as usize, picture.width() as usize);
    let values = alpha(&picture).unwrap_or_else(|| brightness(picture));
    Ok(MaskImage {
        grid,
        warning: warning(&values),
        values,
    })
}

impl MaskImage {
    /// The mask on the grid of its pixels.
    pub fn to_concept_mask(&self, device: &Device) -> ConceptMask {
        let values = TensorData::new(self.values.clone(), [1, self.grid.cells()]);
        let values = Tensor::from_data(values, (device, DType::F32));
        ConceptMask::new(values, self.grid).expect("there is a value for each pixel")
    }
}

/// The alpha channel, unless there is none or it is opaque everywhere.
fn alpha(picture: &DynamicImage) -> Option<Vec<f32>> {
    let values: Vec<f32> = match picture {
        DynamicImage::ImageLumaA8(p) => p.pixels().map(|p| unit8(p.0[1])).collect(),
        DynamicImage::ImageRgba8(p) => p.pixels().map(|p| unit8(p.0[3])).collect(),
        DynamicImage::ImageLumaA16(p) => p.pixels().map(|p| unit16(p.0[1])).collect(),
        DynamicImage::ImageRgba16(p) => p.pixels().map(|p| unit16(p.0[3])).collect(),
        _ => return None,
    };
    values.iter().any(|value| *value < 1.0).then_some(values)
}

/// The brightness, from 16 bits where there are as many.
fn brightness(picture: DynamicImage) -> Vec<f32> {
    match picture {
        DynamicImage::ImageLuma16(p) => p.pixels().map(|p| unit16(p.0[0])).collect(),
        DynamicImage::ImageLumaA16(p) => p.pixels().map(|p| unit16(p.0[0])).collect(),
        DynamicImage::ImageRgb16(p) => p.pixels().map(|p| luma16(p.0)).collect(),
        DynamicImage::ImageRgba16(p) => p
            .pixels()
            .map(|p| luma16([p.0[0], p.0[1], p.0[2]]))
            .collect(),
        other => luma(&to_rgb(other)),
    }
}

fn warning(values: &[f32]) -> Option<MaskWarning> {
    let first = *values.first()?;
    let largest = values.iter().copied().fold(0.0, f32::max);
    if values.iter().all(|value| *value == first) {
        Some(MaskWarning::Even { value: first })
    } else if largest < DARK {
        Some(MaskWarning::Dark { largest })
    } else {
        None
    }
}

fn unit8(sample: u8) -> f32 {
    f32::from(sample) / 255.0
}

fn unit16(sample: u16) -> f32 {
    f32::from(sample) / 65_535.0
}

/// The weights of [`luma`] on 16-bit samples.
fn luma16([red, green, blue]: [u16; 3]) -> f32 {
    let weighted = 19_595 * u64::from(red) + 38_470 * u64::from(green) + 7_471 * u64::from(blue);
    (weighted as f64 / 65_536.0 / 65_535.0) as f32
}
