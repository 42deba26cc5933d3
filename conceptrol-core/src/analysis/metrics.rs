//! How well a mask knows an object, how much of an effect lands elsewhere, and how pictures are rated.

use ndarray::{Array2, ArrayView2, ArrayView3, Zip};

use super::error::AnalysisError;

/// The best rating a judge may give.
const BEST: f64 = 4.0;

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

/// Mean strength of an effect inside and outside a region.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
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

/// How much two pictures differ at each pixel: the mean over the channels of the absolute difference, 0..=1. Of pictures with
/// different channels the first ones are compared, as many as both have.
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
fn check(
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

fn same_grid(
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

/// Concept preservation (is it this object?) and prompt following (is it what was asked for?), each 0..=1.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Scores {
    /// Concept preservation.
    pub concept: f64,
    /// Prompt following.
    pub prompt: f64,
}

impl Scores {
    /// Scores that are 0..=1 already, as measures give them.
    pub const fn new(concept: f64, prompt: f64) -> Self {
        Self { concept, prompt }
    }

    /// Means of ratings between 0 and 4, divided by 4.
    ///
    /// # Errors
    /// [`AnalysisError::NoRatings`] or [`AnalysisError::Rating`].
    ///
    /// ```
    /// use conceptrol_core::analysis::Scores;
    ///
    /// let scores = Scores::from_ratings(&[4.0, 2.0], &[3.0]).unwrap();
    /// assert_eq!(scores.product(), 0.75 * 0.75);
    /// assert!(Scores::from_ratings(&[5.0], &[3.0]).is_err());
    /// ```
    pub fn from_ratings(concept: &[f64], prompt: &[f64]) -> Result<Self, AnalysisError> {
        Ok(Self {
            concept: mean(concept)?,
            prompt: mean(prompt)?,
        })
    }

    /// Means over pictures.
    ///
    /// # Errors
    /// [`AnalysisError::NoRatings`] if there are none.
    pub fn mean<'a>(scores: impl IntoIterator<Item = &'a Self>) -> Result<Self, AnalysisError> {
        let (mut count, mut sum) = (0_usize, Self::new(0.0, 0.0));
        for scores in scores {
            count += 1;
            sum.concept += scores.concept;
            sum.prompt += scores.prompt;
        }
        if count == 0 {
            return Err(AnalysisError::NoRatings);
        }
        Ok(Self::new(
            sum.concept / count as f64,
            sum.prompt / count as f64,
        ))
    }

    /// The number methods are ranked by: copying the reference and ignoring it both score low.
    pub fn product(self) -> f64 {
        self.concept * self.prompt
    }
}

fn mean(ratings: &[f64]) -> Result<f64, AnalysisError> {
    if ratings.is_empty() {
        return Err(AnalysisError::NoRatings);
    }
    if let Some(&value) = ratings.iter().find(|r| !(0.0..=BEST).contains(*r)) {
        return Err(AnalysisError::Rating { value, best: BEST });
    }
    Ok(ratings.iter().sum::<f64>() / (BEST * ratings.len() as f64))
}
