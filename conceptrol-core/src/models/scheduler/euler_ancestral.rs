//! Euler's method with ancestral noise: a step down too far, and fresh noise back up (k-diffusion).
//!
//! <https://github.com/huggingface/diffusers/blob/v0.32.2/src/diffusers/schedulers/scheduling_euler_ancestral_discrete.py>

use burn::tensor::Tensor;

use super::ancestral::split;
use super::betas::{DDPM_BETAS, ZeroSnr, alphas_cumprod};
use super::combine::combine;
use super::error::SchedulerError;
use super::fractional::Fractional;
use super::options::SchedulerOptions;
use super::prediction::Prediction;
use super::schedule::Schedule;
use super::sigmas::SigmaTable;
use super::solver::{FreshNoise, Point, Run, Solver};
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
        let prediction = fields.choice_or("prediction_type", Prediction::Epsilon)?;
        if prediction == Prediction::Sample {
            return Err(fields
                .error("prediction_type", "epsilon or v_prediction")
                .into());
        }
        let levels = Fractional::read(fields, &table, steps)?;
        let (timesteps, spacing) = (levels.timesteps, levels.spacing);
        let mut sigmas: Vec<f32> = levels.sigmas.iter().map(|sigma| *sigma as f32).collect();
        sigmas.push(0.0);
        let mut schedule =
            Schedule::exploding(fields.model(), timesteps, sigmas, spacing, prediction)
                .part(options, table.len())?;
        schedule.draws_noise = true;
        let update = |([from, to], original): ([f32; 2], _)| {
            let [down, up] = split(from, to);
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
