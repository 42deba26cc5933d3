//! Means and ratios over units, with their intervals.

use conceptrol_core::analysis::{Bootstrap, Interval, Scores};

use super::super::table::decimal;

/// 95 % of this many resamples; reports of many tables are to be written in seconds.
pub(crate) const BOOTSTRAP: Bootstrap = Bootstrap {
    resamples: 2_000,
    seed: 0,
    confidence: 0.95,
};

/// A statistic over units, with the interval of a bootstrap over them where it exists.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) value: f64,
    /// None for a single unit, or where a resample has no value.
    pub(crate) interval: Option<(f64, f64)>,
    pub(crate) units: usize,
}

impl Estimate {
    /// The mean; none of nothing.
    pub(crate) fn mean(sample: &[f64]) -> Option<Self> {
        let value = mean(sample)?;
        Some(Self::new(value, BOOTSTRAP.mean(sample), sample.len()))
    }

    /// The mean of the differences of pairs, first minus second.
    pub(crate) fn difference(pairs: &[(f64, f64)]) -> Option<Self> {
        Self::mean(&pairs.iter().map(|(a, b)| a - b).collect::<Vec<_>>())
    }

    /// Mean CP times mean PF.
    pub(crate) fn product(scores: &[Scores]) -> Option<Self> {
        let value = Scores::mean(scores).ok()?.product();
        Some(Self::new(value, BOOTSTRAP.product(scores), scores.len()))
    }

    /// [`product`](Self::product) of the first scores over that of the second.
    pub(crate) fn product_ratio(pairs: &[(Scores, Scores)]) -> Option<Self> {
        let (first, second): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
        let baseline = Scores::mean(&second).ok()?.product();
        let value = Scores::mean(&first).ok()?.product() / baseline;
        let interval = BOOTSTRAP.product_ratio(&first, &second);
        (value.is_finite()).then(|| Self::new(value, interval, pairs.len()))
    }

    /// [`product`](Self::product) of the first scores minus that of the second.
    pub(crate) fn product_difference(pairs: &[(Scores, Scores)]) -> Option<Self> {
        let (first, second): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
        let baseline = Scores::mean(&second).ok()?.product();
        let value = Scores::mean(&first).ok()?.product() - baseline;
        let interval = BOOTSTRAP.product_difference(&first, &second);
        Some(Self::new(value, interval, pairs.len()))
    }

    fn new<E>(value: f64, interval: Result<Interval, E>, units: usize) -> Self {
        Self {
            value,
            interval: interval.ok().map(|interval| (interval.low, interval.high)),
            units,
        }
    }

    /// What has to be said if the interval holds the value that stands for no effect.
    pub(crate) fn doubt(&self, none: f64, doubt: &'static str) -> &'static str {
        match self.interval {
            Some((low, high)) if low <= none && none <= high => doubt,
            Some(_) => "",
            None => " There is no interval.",
        }
    }

    /// `0.500 [0.480, 0.520]`
    pub(crate) fn shown(&self, digits: usize) -> String {
        let value = decimal(self.value, digits);
        match self.bounds(digits) {
            Some(bounds) => format!("{value} {bounds}"),
            None => value,
        }
    }

    /// `[0.480, 0.520]`
    pub(crate) fn bounds(&self, digits: usize) -> Option<String> {
        let (low, high) = self.interval?;
        Some(format!(
            "[{}, {}]",
            decimal(low, digits),
            decimal(high, digits)
        ))
    }
}

pub(crate) fn mean(sample: &[f64]) -> Option<f64> {
    (!sample.is_empty()).then(|| sample.iter().sum::<f64>() / sample.len() as f64)
}

pub(crate) fn median(sample: &[f64]) -> Option<f64> {
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len().is_multiple_of(2) {
        f64::midpoint(sorted[middle - 1], upper)
    } else {
        upper
    })
}
