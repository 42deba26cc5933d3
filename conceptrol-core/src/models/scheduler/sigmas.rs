//! Noise levels: sigma of every training timestep, and the curves a run may follow instead of the timesteps'.

use super::quantile::quantile;
use super::spacing::linspace;
use crate::models::config::{Choice, ConfigError, Fields};

/// Exponent of Karras et al. (2022), arXiv 2206.00364, equation 5.
const KARRAS_RHO: f64 = 7.0;

/// Smallest sigma of which a logarithm is taken (k-diffusion).
const LEAST_SIGMA: f64 = 1e-10;

/// Ratio of noise to signal at every training timestep, ascending.
#[derive(Debug, Clone)]
pub(super) struct SigmaTable {
    sigmas: Vec<f32>,
    logs: Vec<f64>,
}

impl SigmaTable {
    pub(super) fn new(alphas_cumprod: &[f32]) -> Self {
        let sigmas: Vec<f32> = alphas_cumprod
            .iter()
            .map(|alpha| ((1.0 - alpha) / alpha).sqrt())
            .collect();
        // The logarithm of single precision values is of single precision in numpy too.
        let logs = sigmas.iter().map(|sigma| f64::from(sigma.ln())).collect();
        Self { sigmas, logs }
    }

    /// Number of training timesteps.
    pub(super) fn len(&self) -> usize {
        self.sigmas.len()
    }

    /// Sigma of the first training timestep.
    pub(super) fn min(&self) -> f32 {
        self.sigmas[0]
    }

    /// Sigma of the last training timestep.
    pub(super) fn max(&self) -> f32 {
        self.sigmas[self.sigmas.len() - 1]
    }

    /// Sigma at a timestep that may lie between two, clamped to the table.
    pub(super) fn at(&self, timestep: f64) -> f64 {
        let last = self.sigmas.len() - 1;
        let timestep = timestep.clamp(0.0, last as f64);
        let below = (timestep.floor() as usize).min(last);
        let (low, high) = (
            f64::from(self.sigmas[below]),
            f64::from(self.sigmas[(below + 1).min(last)]),
        );
        (high - low) * (timestep - below as f64) + low
    }

    /// The timestep at which the logarithm of sigma, linear between whole timesteps, has this value.
    pub(super) fn timestep(&self, sigma: f64) -> f64 {
        let log = sigma.max(LEAST_SIGMA).ln();
        let below = self
            .logs
            .iter()
            .rposition(|known| log - known >= 0.0)
            .unwrap_or(0);
        let below = below.min(self.logs.len().saturating_sub(2));
        let above = (below + 1).min(self.logs.len() - 1);
        let (low, high) = (self.logs[below], self.logs[above]);
        let weight = ((low - log) / (low - high)).clamp(0.0, 1.0);
        (1.0 - weight) * below as f64 + weight * above as f64
    }
}

/// The curve of noise levels between the largest and the smallest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum SigmaCurve {
    /// Those of the timesteps.
    Timesteps,
    /// Evenly spaced in sigma^(1/7).
    Karras,
    /// Evenly spaced in the logarithm.
    Exponential,
    /// At the quantiles of a Beta(0.6, 0.6) distribution: dense at both ends (Lee et al., 2024).
    Beta,
    /// As exponential, with timesteps rounded (Lu et al., 2022).
    Lu,
}

impl SigmaCurve {
    /// Reads the `use_*_sigmas` flags of the classes that have them.
    pub(super) fn read(fields: &Fields) -> Result<Self, ConfigError> {
        fields.must_be("use_flow_sigmas", false)?;
        let mut chosen = None;
        for (flag, curve) in [
            ("use_karras_sigmas", Self::Karras),
            ("use_exponential_sigmas", Self::Exponential),
            ("use_beta_sigmas", Self::Beta),
        ] {
            if !fields.flag_or(flag, false)? {
                continue;
            }
            if let Some((other, _)) = chosen {
                return Err(fields.error(flag, format!("false with {other}")));
            }
            chosen = Some((flag, curve));
        }
        Ok(chosen.map_or(Self::Timesteps, |(_, curve)| curve))
    }

    /// The noise levels from `max` down to `min`, or nothing where the timesteps decide.
    pub(super) fn levels(self, max: f64, min: f64, steps: usize) -> Option<Vec<f64>> {
        let ramp = linspace(0.0, 1.0, steps).into_iter();
        match self {
            Self::Timesteps => None,
            Self::Karras => {
                let (low, high) = (min.powf(1.0 / KARRAS_RHO), max.powf(1.0 / KARRAS_RHO));
                Some(
                    ramp.map(|ramp| (high + ramp * (low - high)).powf(KARRAS_RHO))
                        .collect(),
                )
            }
            Self::Exponential => Some(
                linspace(max.ln(), min.ln(), steps)
                    .into_iter()
                    .map(f64::exp)
                    .collect(),
            ),
            Self::Beta => Some(
                ramp.map(|ramp| min + quantile(1.0 - ramp) * (max - min))
                    .collect(),
            ),
            Self::Lu => {
                let (low, high) = (min.ln(), max.ln());
                Some(
                    ramp.map(|ramp| (high + ramp * (low - high)).exp())
                        .collect(),
                )
            }
        }
    }
}

/// The level after the last step (`final_sigmas_type`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum FinalSigma {
    Zero,
    Min,
}

impl Choice for FinalSigma {
    const CHOICES: &'static [(&'static str, Self)] =
        &[("zero", Self::Zero), ("sigma_min", Self::Min)];
}

#[cfg(test)]
mod tests {
    use super::{SigmaCurve, SigmaTable};

    #[test]
    fn timesteps_and_sigmas_are_inverse() {
        let table = SigmaTable::new(&[0.9, 0.5, 0.1]);
        for timestep in [0.0, 1.0, 2.0] {
            assert!((table.timestep(table.at(timestep)) - timestep).abs() < 1e-6);
        }
        assert_eq!(table.at(7.0), f64::from(table.max()));
        assert_eq!(table.timestep(1e9), 2.0);
        assert_eq!(table.timestep(0.0), 0.0);
    }

    #[test]
    fn curves_run_from_max_to_min() {
        for curve in [
            SigmaCurve::Karras,
            SigmaCurve::Exponential,
            SigmaCurve::Beta,
            SigmaCurve::Lu,
        ] {
            let levels = curve.levels(14.0, 0.03, 9).unwrap();
            assert!(
                (levels[0] - 14.0).abs() < 1e-12 && (levels[8] - 0.03).abs() < 1e-12,
                "{curve:?}"
            );
            assert!(levels.windows(2).all(|pair| pair[0] > pair[1]), "{curve:?}");
        }
    }
}
