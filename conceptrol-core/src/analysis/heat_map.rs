//! A mask as a picture.

use ndarray::{Array3, ArrayView2};

use super::colour::heat;

/// Colours a mask: 0 is black, `brightest` (and what is above) nearly white. NaN is grey.
///
/// A peak-normalised mask (SD, SDXL) wants 1, one with mean 1 (FLUX) its maximum or a fixed multiple.
///
/// # Shapes
/// - `mask`: `[height, width]`
/// - result: `[height, width, 3]`, red, green, blue
///
/// ```
/// use conceptrol_core::analysis::heat_map;
/// use ndarray::array;
///
/// let picture = heat_map(array![[0.0, 0.5, 1.0]].view(), 1.0);
/// assert_eq!(picture.dim(), (1, 3, 3));
/// assert!(picture[[0, 0, 0]] < picture[[0, 1, 0]] && picture[[0, 1, 0]] < picture[[0, 2, 0]]);
/// ```
pub fn heat_map(mask: ArrayView2<'_, f32>, brightest: f32) -> Array3<u8> {
    let (height, width) = mask.dim();
    let mut picture = Array3::zeros((height, width, 3));
    for ((y, x), &value) in mask.indexed_iter() {
        for (c, sample) in heat(value / brightest).into_iter().enumerate() {
            picture[[y, x, c]] = sample;
        }
    }
    picture
}
