//! How well a thresholded mask covers an object.

use ndarray::{ArrayView2, Zip};

use super::error::AnalysisError;
use super::leakage::same_grid;

/// Intersection over union of the cells where the mask reaches `threshold` and the true region; 1 if both are empty.
///
/// # Shapes
/// - `mask`, `region`: `[height, width]`
///
/// # Errors
/// [`AnalysisError::Shape`] if the shapes differ. A NaN reaches no threshold.
///
/// ```
/// use conceptrol_core::analysis::iou;
/// use ndarray::array;
///
/// let mask = array![[1.0, 0.6], [0.4, 0.0]];
/// let region = array![[true, false], [false, false]];
/// assert_eq!(iou(mask.view(), region.view(), 0.5).unwrap(), 0.5);
/// ```
pub fn iou(
    mask: ArrayView2<'_, f32>,
    region: ArrayView2<'_, bool>,
    threshold: f32,
) -> Result<f64, AnalysisError> {
    same_grid("mask", mask.dim(), region.dim())?;
    let (mut both, mut either) = (0_usize, 0_usize);
    Zip::from(&mask).and(&region).for_each(|&value, &inside| {
        let covered = value >= threshold;
        both += usize::from(covered && inside);
        either += usize::from(covered || inside);
    });
    Ok(if either == 0 {
        1.0
    } else {
        both as f64 / either as f64
    })
}
