//! Quantiles of the Beta(0.6, 0.6) distribution, along which "beta" noise levels are spaced: Lee et al. (2024),
//! arXiv 2407.12173.

/// Both shape parameters.
const SHAPE: f64 = 0.6;

/// The complete beta function of both.
const COMPLETE: f64 = 2.415_344_208_002_472_3;

/// The number below which this share of the distribution lies, to the last digits of double precision.
///
/// # Panics
///
/// Never; a share outside `0.0..=1.0` counts as the nearest within.
pub(super) fn quantile(share: f64) -> f64 {
    match share {
        share if share <= 0.0 => 0.0,
        share if share >= 1.0 => 1.0,
        share if share > 0.5 => 1.0 - lower(1.0 - share),
        share => lower(share),
    }
}

/// The quantile of a share of at most a half, and so at most a half.
///
/// Newton's method for `u = x^0.6`, in which the share is convex and its derivative
/// `(1 - x)^(-0.4) / (0.6 B)`. It starts at or above the root, so it comes down to it without passing it.
fn lower(share: f64) -> f64 {
    let scale = SHAPE * COMPLETE;
    let mut power = (share.max(0.0) * scale).min(0.5_f64.powf(SHAPE));
    for _ in 0..MOST_STEPS {
        let x = power.powf(1.0 / SHAPE);
        let excess = below(x) - share;
        let next = power - excess * scale * (1.0 - x).powf(1.0 - SHAPE);
        if next >= power {
            break;
        }
        power = next;
    }
    power.powf(1.0 / SHAPE)
}

/// Newton's method doubles its digits; more steps than this are only made by rounding.
const MOST_STEPS: usize = 40;

/// The share below `x`, which is at most a half: the regularised incomplete beta function, by its power series. All
/// terms are positive and each is less than half of the one before.
fn below(x: f64) -> f64 {
    let (mut coefficient, mut sum) = (1.0, 1.0 / SHAPE);
    for n in 1..64 {
        let n = f64::from(n);
        coefficient *= (n - SHAPE) / n * x;
        sum += coefficient / (SHAPE + n);
    }
    x.powf(SHAPE) * sum / COMPLETE
}

#[cfg(test)]
mod tests {
    use super::quantile;

    /// `scipy.stats.beta.ppf(share, 0.6, 0.6)` of scipy 1.17.1.
    const SCIPY: [(f64, f64); 9] = [
        (0.0, 0.0),
        (1e-6, 1.855_882_462_405_304_3e-10),
        (0.01, 0.000_861_238_821_542_905_9),
        (1.0 / 7.0, 0.071_142_026_170_359_77),
        (0.25, 0.175_680_378_652_694_98),
        (0.5, 0.5),
        (6.0 / 7.0, 0.928_857_973_829_640_2),
        (0.99, 0.999_138_761_178_457_1),
        (1.0, 1.0),
    ];

    #[test]
    fn quantiles_equal_scipy() {
        for (share, want) in SCIPY {
            let got = quantile(share);
            let error = (got - want).abs() / want.max(f64::MIN_POSITIVE);
            assert!(error < 1e-14, "{share}: {got} is not {want}");
        }
    }

    #[test]
    fn shares_outside_are_the_ends() {
        assert_eq!(quantile(-1.0), 0.0);
        assert_eq!(quantile(2.0), 1.0);
    }
}
