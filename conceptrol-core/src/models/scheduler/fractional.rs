//! Timesteps that may lie between whole ones, with their noise levels: what the schedulers of k-diffusion run over.

use super::error::SchedulerError;
use super::fields::check_steps;
use super::sigmas::{SigmaCurve, SigmaTable};
use super::spacing::Spacing;
use crate::models::config::Fields;

/// The steps of a run, descending.
#[derive(Debug, Clone)]
pub(super) struct Fractional {
    pub(super) timesteps: Vec<f64>,
    /// Noise level of each.
    pub(super) sigmas: Vec<f64>,
    pub(super) spacing: Spacing,
}

impl Fractional {
    /// The timesteps that a configuration spaces, and the levels of the training there.
    pub(super) fn read(
        fields: &Fields,
        table: &SigmaTable,
        steps: usize,
    ) -> Result<Self, SchedulerError> {
        check_steps(fields, steps, 1, table.len())?;
        let spacing = fields.choice_or("timestep_spacing", Spacing::Linspace)?;
        let offset = fields.size_or("steps_offset", 0..=table.len(), 0)?;
        let timesteps = spacing.fractional(table.len(), steps, offset);
        let sigmas = timesteps.iter().map(|timestep| table.at(*timestep));
        Ok(Self {
            sigmas: sigmas.collect(),
            timesteps,
            spacing,
        })
    }

    /// The largest and the smallest level.
    pub(super) fn ends(&self) -> (f64, f64) {
        let sigmas = &self.sigmas;
        (sigmas[0], sigmas[sigmas.len() - 1])
    }

    /// As many levels along a curve between these, each with the timestep that has it in the training.
    pub(super) fn along(self, curve: SigmaCurve, table: &SigmaTable, max: f64, min: f64) -> Self {
        let Some(sigmas) = curve.levels(max, min, self.timesteps.len()) else {
            return self;
        };
        let timestep = |sigma: &f64| f64::from(table.timestep(*sigma) as f32);
        Self {
            timesteps: sigmas.iter().map(timestep).collect(),
            sigmas,
            spacing: self.spacing,
        }
    }
}
