//! Euler's method with ancestral noise: a step down too far, and fresh noise back up (k-diffusion).
//!
//! <https://github.com/huggingface/diffusers/blob/v0.32.2/src/diffusers/schedulers/scheduling_euler_ancestral_discrete.py>

use burn::tensor::Tensor;

use super::betas::{DDPM_BETAS, ZeroSnr, alphas_cumprod};
use super::combine::combine;
use super::error::SchedulerError;
use super::fields::check_steps;
use super::options::SchedulerOptions;
use super::prediction::Prediction;
use super::schedule::Schedule;
use super::sigmas::SigmaTable;
use super::solver::{FreshNoise, Point, Run, Solver};
use super::spacing::Spacing;
use crate::models::config::Fields;

/// Ancestral sampling over sigmas. Draws noise in every step, also in the last, where its weight is 0.
#[derive(Debug, Clone)]
pub(super) struct EulerAncestral {
    /// Factors of sample, model output and fresh noise at every step.
    steps: Vec<[f32; 3]>,
}

impl EulerAncestral {
    pub(super) fn new(
        fields: &Fields,
        steps: usize,
        options: &SchedulerOptions,
    ) -> Result<Run<Self>, SchedulerError> {
        let table = SigmaTable::new(&alphas_cumprod(fields, DDPM_BETAS, ZeroSnr::Tiny)?);
        check_steps(fields, steps, 1, table.len())?;
        let prediction = fields.choice_or("prediction_type", Prediction::Epsilon)?;
        if prediction == Prediction::Sample {
            return Err(fields
                .error("prediction_type", "epsilon or v_prediction")
                .into());
        }
        let spacing = fields.choice_or("timestep_spacing", Spacing::Linspace)?;
        let offset = fields.size_or("steps_offset", 0..=table.len(), 0)?;

        let timesteps = spacing.fractional(table.len(), steps, offset);
        let mut sigmas: Vec<f32> = timesteps
            .iter()
            .map(|timestep| table.at(*timestep) as f32)
            .collect();
        sigmas.push(0.0);
        let mut schedule =
            Schedule::exploding(fields.model(), timesteps, sigmas, spacing, prediction)
                .part(options, table.len())?;
        schedule.draws_noise = true;
        let update = |([from, to], original): ([f32; 2], _)| {
            let up = (to * to * (from * from - to * to) / (from * from)).sqrt();
            let down = (to * to - up * up).max(0.0).sqrt();
            let [of_sample, of_output] = prediction.exploding_step(from, down, original);
            [of_sample, of_output, up]
        };
        let steps: Vec<_> = schedule.levels().map(update).collect();
        schedule.require_finite(&steps)?;
        let solver = Self { steps };
        Ok(Run { schedule, solver })
    }
}

impl Solver for EulerAncestral {
    fn update(&mut self, now: Point<'_>, noise: &mut FreshNoise<'_>) -> Tensor<4> {
        let [of_sample, of_output, of_noise] = self.steps[now.step];
        combine(&[
            (of_sample, &now.sample),
            (of_output, &now.output),
            (of_noise, &noise()),
        ])
    }
}
