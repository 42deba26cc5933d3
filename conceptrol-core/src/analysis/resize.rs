//! Bringing a mask to the grid of a picture.

use ndarray::{Array2, ArrayView2};

/// A mask on another grid, bilinear between the centres of its cells, constant beyond the outermost ones (torch's
/// `interpolate(mode="bilinear", align_corners=False)`; no antialiasing). Empty if the mask or the grid is.
///
/// # Shapes
/// - `mask`: `[rows, columns]`
/// - result: `[height, width]`
///
/// ```
/// use conceptrol_core::analysis::resize_bilinear;
/// use ndarray::array;
///
/// let wide = resize_bilinear(array![[0.0, 1.0]].view(), 1, 4);
/// assert_eq!(wide, array![[0.0, 0.25, 0.75, 1.0]]);
/// ```
pub fn resize_bilinear(mask: ArrayView2<'_, f32>, height: usize, width: usize) -> Array2<f32> {
    if mask.is_empty() {
        return Array2::zeros((0, 0));
    }
    let rows = neighbours(mask.nrows(), height);
    let columns = neighbours(mask.ncols(), width);
    Array2::from_shape_fn((height, width), |(y, x)| {
        let ((top, bottom, down), (left, right, along)) = (rows[y], columns[x]);
        let mix = |row: usize| mask[[row, left]] * (1.0 - along) + mask[[row, right]] * along;
        mix(top) * (1.0 - down) + mix(bottom) * down
    })
}

/// For each new position the two old ones around it and how far it is towards the second.
fn neighbours(from: usize, to: usize) -> Vec<(usize, usize, f32)> {
    let scale = from as f32 / to as f32;
    let place = |i: usize| {
        let at = ((i as f32 + 0.5) * scale - 0.5).max(0.0);
        let first = (at as usize).min(from - 1);
        (first, (first + 1).min(from - 1), at - first as f32)
    };
    (0..to).map(place).collect()
}
