//! How well a mask ranks the cells of an object before all others.

use ndarray::ArrayView2;

use super::error::AnalysisError;
use super::leakage::check;

/// Area under the receiver operating characteristic of a mask against the true region: the probability that a cell inside
/// has a larger value than a cell outside, ties counting half. 1 is perfect, 0.5 chance.
///
/// It needs no threshold and does not depend on how the mask is normalised. The paper ranks attention blocks by it.
///
/// # Shapes
/// - `mask`, `region`: `[height, width]`
///
/// # Errors
/// [`AnalysisError`] if the shapes differ, a value is not finite, or the region is empty or everything.
///
/// ```
/// use conceptrol_core::analysis::roc_auc;
/// use ndarray::array;
///
/// let region = array![[true, true, false, false]];
/// let auc = |mask: ndarray::Array2<f32>| roc_auc(mask.view(), region.view()).unwrap();
/// assert_eq!(auc(array![[0.9, 0.8, 0.3, 0.1]]), 1.0);
/// assert_eq!(auc(array![[0.9, 0.2, 0.3, 0.1]]), 0.75);
/// assert_eq!(auc(array![[0.5, 0.5, 0.5, 0.5]]), 0.5);
/// ```
pub fn roc_auc(
    mask: ArrayView2<'_, f32>,
    region: ArrayView2<'_, bool>,
) -> Result<f64, AnalysisError> {
    let inside = check("mask", mask, region)?;
    let mut cells: Vec<(f32, bool)> = mask.iter().copied().zip(region.iter().copied()).collect();
    cells.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Pairs won by cells inside; a group of equal values wins half of the pairs within itself.
    let (mut below, mut won) = (0_usize, 0.0_f64);
    // -0 and 0 are equal values that the order above keeps apart.
    for group in cells.chunk_by(|a, b| a.0 == b.0) {
        let hits = group.iter().filter(|cell| cell.1).count();
        let misses = group.len() - hits;
        won += hits as f64 * (below as f64 + misses as f64 / 2.0);
        below += misses;
    }
    Ok(won / (inside as f64 * (cells.len() - inside) as f64))
}
