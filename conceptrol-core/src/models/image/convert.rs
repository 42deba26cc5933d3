//! Colour types to 8-bit RGB and grey.

use image::{DynamicImage, Rgb, RgbImage};
#[cfg(feature = "analysis")]
use ndarray::{Array3, ArrayView3};

/// RGB by the rule of [`decode`](super::decode).
pub(super) fn to_rgb(picture: DynamicImage) -> RgbImage {
    match picture {
        DynamicImage::ImageRgb8(picture) => picture,
        DynamicImage::ImageLuma16(p) => {
            from_pixels(p.width(), p.height(), p.pixels().map(|p| [high(p.0[0]); 3]))
        }
        DynamicImage::ImageLumaA16(p) => {
            from_pixels(p.width(), p.height(), p.pixels().map(|p| [high(p.0[0]); 3]))
        }
        DynamicImage::ImageRgb16(p) => {
            from_pixels(p.width(), p.height(), p.pixels().map(|p| p.0.map(high)))
        }
        DynamicImage::ImageRgba16(p) => {
            let upper = p
                .pixels()
                .map(|p| [high(p.0[0]), high(p.0[1]), high(p.0[2])]);
            from_pixels(p.width(), p.height(), upper)
        }
        other => other.to_rgb8(),
    }
}

fn high(value: u16) -> u8 {
    (value >> 8) as u8
}

fn from_pixels(width: u32, height: u32, pixels: impl Iterator<Item = [u8; 3]>) -> RgbImage {
    let mut out = RgbImage::new(width, height);
    for (to, from) in out.pixels_mut().zip(pixels) {
        *to = Rgb(from);
    }
    out
}

/// The brightness of each pixel, row by row, in 0..=1: Pillow's `convert("L")` (ITU-R 601-2) over 255.
pub(super) fn luma(picture: &RgbImage) -> Vec<f32> {
    let luma = |pixel: &Rgb<u8>| {
        let [r, g, b] = pixel.0.map(u32::from);
        // Fixed point with 16 fractional bits, rounded.
        let l = (r * 19_595 + g * 38_470 + b * 7_471 + 0x8000) >> 16;
        l as f32 / 255.0
    };
    picture.pixels().map(luma).collect()
}

/// A picture as an array, for [`analysis`](crate::analysis).
///
/// # Shapes
/// - result: `[height, width, 3]`
#[cfg(feature = "analysis")]
pub fn to_array(picture: &RgbImage) -> Array3<u8> {
    let shape = (picture.height() as usize, picture.width() as usize, 3);
    Array3::from_shape_vec(shape, picture.as_raw().clone())
        .expect("a picture has three samples a pixel")
}

/// An array as a picture; `None` unless it has three channels and a size a picture can have.
///
/// # Shapes
/// - `samples`: `[height, width, 3]`
#[cfg(feature = "analysis")]
pub fn from_array(samples: ArrayView3<'_, u8>) -> Option<RgbImage> {
    let (height, width, channels) = samples.dim();
    if channels != 3 {
        return None;
    }
    let samples = samples.iter().copied().collect();
    RgbImage::from_raw(width.try_into().ok()?, height.try_into().ok()?, samples)
}
