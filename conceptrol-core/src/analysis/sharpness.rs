//! How sharply a map points at a place.

use ndarray::ArrayView2;

use super::error::AnalysisError;

/// How far a map is from even, 0..=1: one minus its entropy as a distribution over the cells, in units of the largest.
///
/// 0 is a map with the same value in every cell, 1 one with a single cell. With `p` the values divided by their sum and `n`
/// cells it is `1 + sum(p ln p) / ln n`. It does not depend on how the map is normalised; maps are compared on one grid.
///
/// # Shapes
/// - `map`: `[height, width]`
///
/// # Errors
/// [`AnalysisError::NotFinite`] for values that are not finite or negative, and [`AnalysisError::Dark`] if all are 0 or
/// there are less than two.
///
/// ```
/// use conceptrol_core::analysis::sharpness;
/// use ndarray::array;
///
/// let of = |map: ndarray::Array2<f32>| sharpness(map.view()).unwrap();
/// assert!(of(array![[2.0, 2.0], [2.0, 2.0]]).abs() < 1e-12);
/// assert_eq!(of(array![[0.0, 3.0], [0.0, 0.0]]), 1.0);
/// assert!((of(array![[1.0, 1.0], [0.0, 0.0]]) - 0.5).abs() < 1e-12);
/// ```
pub fn sharpness(map: ArrayView2<'_, f32>) -> Result<f64, AnalysisError> {
    for ((row, column), &value) in map.indexed_iter() {
        if !(value.is_finite() && value >= 0.0) {
            return Err(AnalysisError::NotFinite {
                what: "map",
                value,
                row,
                column,
            });
        }
    }
    let sum: f64 = map.iter().map(|value| f64::from(*value)).sum();
    if sum == 0.0 || map.len() < 2 {
        return Err(AnalysisError::Dark { cells: map.len() });
    }
    let shares = map.iter().map(|value| f64::from(*value) / sum);
    let entropy: f64 = shares
        .filter(|share| *share > 0.0)
        .map(|share| -share * share.ln())
        .sum();
    Ok((1.0 - entropy / (map.len() as f64).ln()).clamp(0.0, 1.0))
}
