//! The part every scheduler shares: its timesteps, its noise levels, and where it stands.

use burn::tensor::Tensor;

use super::combine::{combine, single};
use super::error::SchedulerError;
use super::spacing::Spacing;

/// Timesteps and noise levels of one run, all known on the host before the first step.
#[derive(Debug, Clone)]
pub struct Schedule {
    pub(super) class: &'static str,
    pub(super) timesteps: Vec<f64>,
    pub(super) sigmas: Option<Vec<f32>>,
    pub(super) init_noise_sigma: f64,
    /// Factor of the model's input at every step; empty where the input is the sample itself.
    pub(super) input_scale: Vec<f32>,
    /// The clean picture predicted at every step as (factor of the sample, factor of the model output).
    pub(super) original: Vec<[f32; 2]>,
    pub(super) draws_noise: bool,
    /// How many of the timesteps are run.
    pub(super) steps: usize,
    /// The step that is due.
    pub(super) next: usize,
}

impl Schedule {
    /// A schedule whose latents keep unit variance, so that the model sees them unscaled.
    pub(super) fn variance_preserving(
        class: &'static str,
        timesteps: Vec<f64>,
        sigmas: Option<Vec<f32>>,
        original: Vec<[f32; 2]>,
    ) -> Self {
        Self {
            class,
            steps: timesteps.len(),
            timesteps,
            sigmas,
            init_noise_sigma: 1.0,
            input_scale: Vec::new(),
            original,
            draws_noise: false,
            next: 0,
        }
    }

    /// A schedule whose latents are picture plus sigma times noise, which the model sees at unit variance.
    pub(super) fn exploding(
        class: &'static str,
        timesteps: Vec<f64>,
        sigmas: Vec<f32>,
        spacing: Spacing,
        original: Vec<[f32; 2]>,
    ) -> Self {
        let max = sigmas.iter().copied().fold(0.0, f32::max);
        let init_noise_sigma = match spacing {
            Spacing::Leading => (max * max + 1.0).sqrt(),
            Spacing::Linspace | Spacing::Trailing => max,
        };
        let scale = |sigma: &f32| 1.0 / (sigma * sigma + 1.0).sqrt();
        let input_scale = sigmas[..timesteps.len()].iter().map(scale).collect();
        Self {
            init_noise_sigma: init_noise_sigma.into(),
            input_scale,
            ..Self::variance_preserving(class, timesteps, Some(sigmas), original)
        }
    }

    /// The timesteps to run, descending.
    pub fn timesteps(&self) -> &[f64] {
        &self.timesteps[..self.steps]
    }

    /// Ratio of noise to signal before every step and after the last; `None` for schedulers of cumulative alphas.
    pub fn sigmas(&self) -> Option<&[f32]> {
        self.sigmas.as_deref()
    }

    /// Standard deviation of the noise to start from.
    pub fn init_noise_sigma(&self) -> f64 {
        self.init_noise_sigma
    }

    /// Whether steps draw noise.
    pub fn draws_noise(&self) -> bool {
        self.draws_noise
    }

    /// Takes the step that is due.
    pub(super) fn advance(&mut self, step: usize) -> Result<(), SchedulerError> {
        if step != self.next || step >= self.steps {
            return Err(SchedulerError::Order {
                got: step,
                expected: self.next,
                steps: self.steps,
            });
        }
        self.next += 1;
        Ok(())
    }

    /// Stops after the given fraction of the training schedule, as SDXL's ensemble of experts does.
    pub(super) fn end_after(&mut self, fraction: Option<f64>, train: usize) {
        let Some(fraction) = fraction.filter(|fraction| *fraction > 0.0 && *fraction < 1.0) else {
            return;
        };
        let cutoff = (train as f64 - fraction * train as f64).round_ties_even();
        self.steps = self
            .timesteps
            .iter()
            .filter(|timestep| **timestep >= cutoff)
            .count();
    }

    /// Fails at the first step for which a coefficient is infinite or NaN.
    pub(super) fn require_finite<'a>(
        &self,
        steps: impl IntoIterator<Item = &'a [f32]>,
    ) -> Result<(), SchedulerError> {
        let bad = steps
            .into_iter()
            .position(|step| step.iter().any(|coefficient| !coefficient.is_finite()));
        bad.map_or(Ok(()), |step| {
            Err(SchedulerError::NotFinite {
                class: self.class,
                step,
            })
        })
    }

    /// See [`super::Scheduler::scale_model_input`].
    pub(super) fn scale_model_input(&self, sample: Tensor<4>, step: usize) -> Tensor<4> {
        match self.input_scale.get(step) {
            Some(scale) => sample.mul_scalar(*scale),
            None => sample,
        }
    }

    /// See [`super::Scheduler::denoised`].
    pub(super) fn denoised(
        &self,
        model_output: Tensor<4>,
        step: usize,
        sample: Tensor<4>,
    ) -> Tensor<4> {
        let Some([of_sample, of_output]) = self.original.get(step) else {
            return sample;
        };
        let dtype = sample.dtype();
        combine(&[
            (*of_sample, &single(sample)),
            (*of_output, &single(model_output)),
        ])
        .cast(dtype)
    }
}
