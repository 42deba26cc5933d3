//! Latent consistency models: Luo et al. (2023), arXiv 2310.04378.
//!
//! <https://github.com/huggingface/diffusers/blob/v0.32.2/src/diffusers/schedulers/scheduling_lcm.py>

use burn::tensor::Tensor;

use super::betas::{LATENT_BETAS, ZeroSnr, alphas_cumprod};
use super::combine::combine;
use super::distilled;
use super::error::SchedulerError;
use super::fields::clip;
use super::options::SchedulerOptions;
use super::prediction::Prediction;
use super::schedule::Schedule;
use super::solver::{FreshNoise, Point, Run, Solver};
use crate::models::config::Fields;

/// Standard deviation of the data in the boundary condition.
const SIGMA_DATA: f32 = 0.5;

/// Multistep consistency sampling: predicts the clean picture and noises it again.
#[derive(Debug, Clone)]
pub(super) struct Lcm {
    /// Factors of clean picture, sample and fresh noise at every step.
    steps: Vec<[f32; 3]>,
    clip: Option<f64>,
}

impl Lcm {
    pub(super) fn new(
        fields: &Fields,
        steps: usize,
        options: &SchedulerOptions,
    ) -> Result<Run<Self>, SchedulerError> {
        let alphas = alphas_cumprod(fields, LATENT_BETAS, ZeroSnr::Exact)?;
        let train = alphas.len();
        let distilled = distilled::length(fields, options, steps, train)?;
        fields.must_be("thresholding", false)?;
        let prediction = fields.choice_or("prediction_type", Prediction::Epsilon)?;
        let scaling = fields.number_or("timestep_scaling", 10.0)? as f32;
        let clip = clip(fields, "clip_sample", false)?;

        let timesteps = distilled::timesteps(train, distilled, steps);
        let (mut forward, mut updates) = (Vec::new(), Vec::new());
        for (i, timestep) in timesteps.iter().enumerate() {
            let now = alphas[*timestep];
            forward.push([now.sqrt(), (1.0 - now).sqrt()]);
            let scaled = *timestep as f32 * scaling;
            let variance = scaled * scaled + SIGMA_DATA * SIGMA_DATA;
            let (skip, out) = (SIGMA_DATA * SIGMA_DATA / variance, scaled / variance.sqrt());
            updates.push(match timesteps.get(i + 1) {
                Some(next) => {
                    let (alpha, sigma) = (alphas[*next].sqrt(), (1.0 - alphas[*next]).sqrt());
                    [alpha * out, alpha * skip, sigma]
                }
                None => [out, skip, 0.0],
            });
        }
        let timesteps = timesteps
            .into_iter()
            .map(|timestep| timestep as f64)
            .collect();
        let mut schedule =
            Schedule::variance_preserving(fields.model(), timesteps, None, prediction, forward)
                .part(options, train)?;
        schedule.draws_noise = options.begin_at + 1 < steps;
        schedule.require_finite(&updates)?;
        let steps = updates;
        let solver = Self { steps, clip };
        Ok(Run { schedule, solver })
    }
}

impl Solver for Lcm {
    fn update(&mut self, now: Point<'_>, noise: &mut FreshNoise<'_>) -> Tensor<4> {
        let [of_original, of_sample, of_noise] = self.steps[now.step];
        let original = now.original(self.clip);
        let next = combine(&[(of_original, &original), (of_sample, &now.sample)]);
        match now.step + 1 < self.steps.len() {
            true => combine(&[(1.0, &next), (of_noise, &noise())]),
            false => next,
        }
    }
}
