//! How much of an effect lands outside the object it was meant for.

use ndarray::{Array2, ArrayView2, ArrayView3, Zip};

use super::error::AnalysisError;

/// Mean strength of an effect inside and outside a region.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Leakage {
    /// Mean over the cells inside.
    pub inside: f64,
    /// Mean over the cells outside.
    pub outside: f64,
}

impl Leakage {
    /// Strength outside over strength inside: 0 without leakage, 1 for an effect that ignores the region. Infinite, or NaN if
    /// there is no effect at all, when nothing happens inside.
    pub fn ratio(self) -> f64 {
        self.outside / self.inside
    }
}

/// How strong an effect is inside and outside a region. The effect is anything that is not negative: a mask, an attention
/// map, or the [`difference`] a reference image makes.
///
/// # Shapes
/// - `effect`, `region`: `[height, width]`
///
/// # Errors
/// [`AnalysisError`] if the shapes differ, a value is not finite, or the region is empty or everything.
///
/// ```
/// use conceptrol_core::analysis::leakage;
/// use ndarray::array;
///
/// let effect = array![[1.0, 0.5], [0.0, 0.0]];
/// let region = array![[true, false], [false, false]];
/// let leak = leakage(effect.view(), region.view()).unwrap();
/// assert!((leak.ratio() - 0.5 / 3.0).abs() < 1e-9);
/// ```
pub fn leakage(
    effect: ArrayView2<'_, f32>,
    region: ArrayView2<'_, bool>,
) -> Result<Leakage, AnalysisError> {
    let inside = check("effect", effect, region)?;
    let mut sums = [0.0_f64; 2];
    Zip::from(&effect)
        .and(&region)
        .for_each(|&value, &inside| sums[usize::from(inside)] += f64::from(value));
    Ok(Leakage {
        inside: sums[1] / inside as f64,
        outside: sums[0] / (region.len() - inside) as f64,
    })
}

/// How much two pictures differ at each pixel: the mean over the channels of the absolute difference, 0..=1.
///
/// # Shapes
/// - `a`, `b`: `[height, width, channels]`
/// - result: `[height, width]`
///
/// # Errors
/// [`AnalysisError::Shape`] if the sizes differ.
pub fn difference(
    a: ArrayView3<'_, u8>,
    b: ArrayView3<'_, u8>,
) -> Result<Array2<f32>, AnalysisError> {
    let (height, width, channels) = a.dim();
    let (other_height, other_width, other_channels) = b.dim();
    same_grid(
        "second picture",
        (other_height, other_width),
        (height, width),
    )?;
    let channels = channels.min(other_channels);
    Ok(Array2::from_shape_fn((height, width), |(y, x)| {
        let total: u32 = (0..channels)
            .map(|c| u32::from(a[[y, x, c]].abs_diff(b[[y, x, c]])))
            .sum();
        total as f32 / (255 * channels.max(1)) as f32
    }))
}

/// Number of cells inside, if a comparison of inside and outside is defined.
pub(super) fn check(
    what: &'static str,
    values: ArrayView2<'_, f32>,
    region: ArrayView2<'_, bool>,
) -> Result<usize, AnalysisError> {
    same_grid(what, values.dim(), region.dim())?;
    if let Some(((row, column), &value)) =
        values.indexed_iter().find(|(_, value)| !value.is_finite())
    {
        return Err(AnalysisError::NotFinite {
            what,
            value,
            row,
            column,
        });
    }
    let (inside, cells) = (
        region.iter().filter(|&&inside| inside).count(),
        region.len(),
    );
    if inside == 0 || inside == cells {
        return Err(AnalysisError::OneSided { inside, cells });
    }
    Ok(inside)
}

pub(super) fn same_grid(
    what: &'static str,
    found: (usize, usize),
    expected: (usize, usize),
) -> Result<(), AnalysisError> {
    if found == expected {
        return Ok(());
    }
    Err(AnalysisError::Shape {
        what,
        found,
        expected,
    })
}
