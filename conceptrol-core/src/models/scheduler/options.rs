//! What a run may ask of a scheduler beyond the number of steps.

use super::error::SchedulerError;

/// Options of one run; [`Default`] is what diffusers' pipelines do.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct SchedulerOptions {
    /// Share of fresh noise in every DDIM step, `0.0` (deterministic) to `1.0` (as DDPM). Other schedulers ignore it.
    pub eta: f64,
    /// Fraction of the schedule after which to stop, in `0.0..=1.0`, leaving the rest of the noise to a refiner.
    /// `None`, `0.0` and `1.0` run everything.
    pub denoising_end: Option<f64>,
    /// Number of steps to leave out at the start, for a run that begins with a picture under noise.
    pub begin_at: usize,
    /// Length of the schedule an LCM was distilled on, in place of the configuration's. Others ignore it.
    pub original_inference_steps: Option<usize>,
    /// Number of latent tokens of the picture, on which the noise levels of flow matching with dynamic shift depend.
    /// Others ignore it.
    pub image_tokens: Option<usize>,
}

impl SchedulerOptions {
    /// Sets [`eta`](Self::eta).
    #[must_use]
    pub fn eta(mut self, eta: f64) -> Self {
        self.eta = eta;
        self
    }

    /// Sets [`denoising_end`](Self::denoising_end).
    #[must_use]
    pub fn denoising_end(mut self, fraction: f64) -> Self {
        self.denoising_end = Some(fraction);
        self
    }

    /// Sets [`begin_at`](Self::begin_at).
    #[must_use]
    pub fn begin_at(mut self, step: usize) -> Self {
        self.begin_at = step;
        self
    }

    /// Sets [`original_inference_steps`](Self::original_inference_steps).
    #[must_use]
    pub fn original_inference_steps(mut self, steps: usize) -> Self {
        self.original_inference_steps = Some(steps);
        self
    }

    /// Sets [`image_tokens`](Self::image_tokens).
    #[must_use]
    pub fn image_tokens(mut self, tokens: usize) -> Self {
        self.image_tokens = Some(tokens);
        self
    }

    /// Checks the ranges.
    pub(super) fn check(&self) -> Result<(), SchedulerError> {
        let within = |option, value: f64| match (0.0..=1.0).contains(&value) {
            true => Ok(()),
            false => Err(SchedulerError::Option {
                option,
                value,
                expected: "within 0..=1",
            }),
        };
        within("eta", self.eta)?;
        within("denoising_end", self.denoising_end.unwrap_or(1.0))
    }

    /// Checks that at least one of `steps` steps is left.
    pub(super) fn check_begin(
        &self,
        class: &'static str,
        steps: usize,
    ) -> Result<(), SchedulerError> {
        match self.begin_at < steps {
            true => Ok(()),
            false => Err(SchedulerError::Begin {
                class,
                begin: self.begin_at,
                steps,
            }),
        }
    }
}
