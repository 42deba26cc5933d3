//! A mask over the picture it was made for.

use ndarray::{Array3, ArrayView2, ArrayView3};

use super::colour::heat;
use super::resize::resize_bilinear;

/// Lays the heat map of a mask over a picture. The mask is brought to the picture's size bilinearly; where it is 0 the
/// picture shows through unchanged, where it is `brightest` or more the colour covers `opacity` (0..=1) of it.
///
/// # Shapes
/// - `picture`: `[height, width, 3]`
/// - `mask`: `[rows, columns]`, any grid
/// - result: `[height, width, 3]`
///
/// ```
/// use conceptrol_core::analysis::overlay;
/// use ndarray::{Array3, array};
///
/// let grey = Array3::from_elem((4, 4, 3), 100);
/// let over = overlay(grey.view(), array![[0.0, 1.0]].view(), 1.0, 0.6);
/// assert_eq!(over[[0, 0, 0]], 100);
/// assert!(over[[0, 3, 0]] > 150);
/// ```
pub fn overlay(
    picture: ArrayView3<'_, u8>,
    mask: ArrayView2<'_, f32>,
    brightest: f32,
    opacity: f32,
) -> Array3<u8> {
    let (height, width, channels) = picture.dim();
    let mut out = picture.to_owned();
    let mask = resize_bilinear(mask, height, width);
    for ((y, x), &value) in mask.indexed_iter() {
        let value = value / brightest;
        // NaN covers nothing.
        let cover = value.clamp(0.0, 1.0).max(0.0) * opacity.clamp(0.0, 1.0).max(0.0);
        for (c, colour) in heat(value).into_iter().enumerate().take(channels) {
            let sample = f32::from(out[[y, x, c]]);
            out[[y, x, c]] = (sample + (f32::from(colour) - sample) * cover).round() as u8;
        }
    }
    out
}
