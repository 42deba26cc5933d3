//! How far a mean would move if other units (pictures, prompts, concepts) had been drawn.

use super::{error::AnalysisError, metrics::Scores};
use crate::mt19937::Mt19937;

/// Percentile bootstrap (Efron, 1979): a statistic is computed again for units drawn with replacement, and the interval holds the
/// middle of what comes out.
///
/// A unit is what was drawn independently. Values of one picture, or of one prompt and seed under two methods, belong to one
/// unit; paired statistics draw them together.
///
/// It is deterministic. Indices are those of `np.random.RandomState(seed).randint(0, units, (resamples, units))`, percentiles
/// those of `np.percentile`, so that others can repeat an interval with numpy.
///
/// ```
/// use conceptrol_core::analysis::Bootstrap;
///
/// let interval = Bootstrap::default().mean(&[0.5, 0.7, 0.6, 0.8]).unwrap();
/// assert!((interval.value - 0.65).abs() < 1e-12);
/// assert!(interval.low < 0.65 && 0.65 < interval.high);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bootstrap {
    /// How often units are drawn anew.
    pub resamples: usize,
    /// Seed of the draws.
    pub seed: u32,
    /// Share of the resamples that the interval holds, 0..=1.
    pub confidence: f64,
}

/// 10 000 resamples from seed 0, 95 %.
impl Default for Bootstrap {
    fn default() -> Self {
        Self {
            resamples: 10_000,
            seed: 0,
            confidence: 0.95,
        }
    }
}

/// A statistic and where it may lie.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Interval {
    /// The statistic of the units as they are.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Bootstrap {
    /// The mean of a sample, one value a unit.
    ///
    /// # Errors
    /// [`AnalysisError::TooFew`] for less than two units, [`AnalysisError::Undefined`] if a value is not finite.
    pub fn mean(&self, sample: &[f64]) -> Result<Interval, AnalysisError> {
        self.statistic(sample.len(), |units| {
            units.iter().map(|&unit| sample[unit]).sum::<f64>() / units.len() as f64
        })
    }

    /// The mean of `sample - baseline`, unit by unit.
    ///
    /// # Errors
    /// Those of [`mean`](Self::mean), and [`AnalysisError::Unpaired`].
    ///
    /// ```
    /// use conceptrol_core::analysis::Bootstrap;
    ///
    /// // The units differ much, the methods hardly: only pairs show that the second is better.
    /// let (first, second) = ([0.1, 0.5, 0.9], [0.2, 0.6, 1.0]);
    /// let gain = Bootstrap::default().difference(&second, &first).unwrap();
    /// assert!(gain.low > 0.09 && gain.high < 0.11);
    /// ```
    pub fn difference(&self, sample: &[f64], baseline: &[f64]) -> Result<Interval, AnalysisError> {
        paired(sample.len(), baseline.len())?;
        let differences: Vec<f64> = sample.iter().zip(baseline).map(|(a, b)| a - b).collect();
        self.mean(&differences)
    }

    /// Mean concept preservation times mean prompt following.
    ///
    /// # Errors
    /// Those of [`mean`](Self::mean).
    pub fn product(&self, scores: &[Scores]) -> Result<Interval, AnalysisError> {
        self.statistic(scores.len(), |units| product(scores, units))
    }

    /// The [product](Self::product) of a method minus that of a baseline.
    ///
    /// # Errors
    /// Those of [`difference`](Self::difference).
    pub fn product_difference(
        &self,
        scores: &[Scores],
        baseline: &[Scores],
    ) -> Result<Interval, AnalysisError> {
        paired(scores.len(), baseline.len())?;
        self.statistic(scores.len(), |units| {
            product(scores, units) - product(baseline, units)
        })
    }

    /// The [product](Self::product) of a method over that of a baseline: 1.89 is the paper's gain of 89 %.
    ///
    /// # Errors
    /// Those of [`difference`](Self::difference); [`AnalysisError::Undefined`] also where the baseline's product is 0 in a
    /// resample.
    ///
    /// ```
    /// use conceptrol_core::analysis::{Bootstrap, Scores};
    ///
    /// let method = [Scores::new(0.5, 0.75), Scores::new(0.5, 1.0)];
    /// let baseline = [Scores::new(1.0, 0.25); 2];
    /// let ratio = Bootstrap::default().product_ratio(&method, &baseline).unwrap();
    /// assert_eq!(ratio.value, 0.5 * 0.875 / 0.25);
    /// ```
    pub fn product_ratio(
        &self,
        scores: &[Scores],
        baseline: &[Scores],
    ) -> Result<Interval, AnalysisError> {
        paired(scores.len(), baseline.len())?;
        self.statistic(scores.len(), |units| {
            product(scores, units) / product(baseline, units)
        })
    }

    /// Any statistic of `units` units: it is given the indices that were drawn, `units` of them.
    ///
    /// # Errors
    /// [`AnalysisError::TooFew`] for less than two units or no resamples, [`AnalysisError::Undefined`] if a result is not finite.
    ///
    /// # Panics
    /// If `confidence` is not within 0..=1, or there are more than 2^32 units.
    pub fn statistic(
        &self,
        units: usize,
        statistic: impl Fn(&[usize]) -> f64,
    ) -> Result<Interval, AnalysisError> {
        assert!(
            (0.0..=1.0).contains(&self.confidence),
            "a confidence is within 0..=1, this is {}",
            self.confidence
        );
        let count = u32::try_from(units).expect("fewer than 2^32 units");
        for (found, least) in [(units, 2), (self.resamples, 1)] {
            if found < least {
                return Err(AnalysisError::TooFew { found, least });
            }
        }
        let defined = |indices: &[usize]| {
            let value = statistic(indices);
            let undefined = AnalysisError::Undefined { value };
            value.is_finite().then_some(value).ok_or(undefined)
        };
        let mut indices: Vec<usize> = (0..units).collect();
        let value = defined(&indices)?;
        let mut engine = Mt19937::new(self.seed);
        let mut drawn = Vec::with_capacity(self.resamples);
        for _ in 0..self.resamples {
            indices.fill_with(|| engine.below(count) as usize);
            drawn.push(defined(&indices)?);
        }
        drawn.sort_by(f64::total_cmp);
        let outside = 1.0 - self.confidence;
        Ok(Interval {
            value,
            low: quantile(&drawn, outside / 2.0),
            high: quantile(&drawn, 1.0 - outside / 2.0),
        })
    }
}

fn product(scores: &[Scores], units: &[usize]) -> f64 {
    Scores::mean(units.iter().map(|&unit| &scores[unit])).map_or(f64::NAN, Scores::product)
}

fn paired(first: usize, second: usize) -> Result<(), AnalysisError> {
    if first == second {
        return Ok(());
    }
    Err(AnalysisError::Unpaired { first, second })
}

/// The value below which a share of sorted values lies, linear between neighbours.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let below = (place as usize).min(sorted.len() - 1);
    let (low, high) = (sorted[below], sorted[(below + 1).min(sorted.len() - 1)]);
    let part = place - below as f64;
    // from the nearer end, as numpy does
    if part < 0.5 {
        low + (high - low) * part
    } else {
        high - (high - low) * (1.0 - part)
    }
}
