//! Trajectory consistency distillation: Zheng et al. (2024), arXiv 2402.19159, algorithm 4.
//!
//! <https://github.com/huggingface/diffusers/blob/v0.32.2/src/diffusers/schedulers/scheduling_tcd.py>

use burn::tensor::Tensor;

use super::betas::{LATENT_BETAS, ZeroSnr, alphas_cumprod};
use super::combine::combine;
use super::distilled;
use super::error::SchedulerError;
use super::options::SchedulerOptions;
use super::prediction::Prediction;
use super::schedule::Schedule;
use super::solver::{FreshNoise, Point, Run, Solver};
use crate::models::config::Fields;

/// Strategic stochastic sampling: jumps below the next timestep by the share `eta`, and noises back up to it.
///
/// Parity: as in diffusers, fields that clip the clean picture are not read, and the level after the last step is that of
/// the first training timestep whatever `set_alpha_to_one` says.
#[derive(Debug, Clone)]
pub(super) struct Tcd {
    /// Factors of sample, model output and fresh noise at every step.
    steps: Vec<[f32; 3]>,
}

impl Tcd {
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
        let eta = options.eta as f32;

        // Who names a length other than the configuration's may stop at any timestep.
        let members = match options.original_inference_steps {
            Some(_) => train,
            None => distilled,
        };
        let timesteps = distilled::timesteps(train, members, steps);
        let (mut forward, mut updates) = (Vec::new(), Vec::new());
        for (i, timestep) in timesteps.iter().enumerate() {
            let next = timesteps.get(i + 1).copied().unwrap_or(0);
            let below = ((1.0 - eta) * next as f32).floor() as usize;
            let (now, next, below) = (alphas[*timestep], alphas[next], alphas[below]);
            let (alpha, sigma) = (now.sqrt(), (1.0 - now).sqrt());
            forward.push([alpha, sigma]);
            let [original, noise] = [
                prediction.original(alpha, sigma),
                prediction.noise(alpha, sigma),
            ];
            let (kept, fresh) = match eta > 0.0 && i + 1 < timesteps.len() {
                true => ((next / below).sqrt(), (1.0 - next / below).sqrt()),
                false => (1.0, 0.0),
            };
            let jump = |part: usize| {
                kept * (below.sqrt() * original[part] + (1.0 - below).sqrt() * noise[part])
            };
            updates.push([jump(0), jump(1), fresh]);
        }
        let timesteps = timesteps
            .into_iter()
            .map(|timestep| timestep as f64)
            .collect();
        let mut schedule =
            Schedule::variance_preserving(fields.model(), timesteps, None, prediction, forward)
                .part(options, train)?;
        schedule.draws_noise = eta > 0.0 && options.begin_at + 1 < steps;
        schedule.require_finite(&updates)?;
        let steps = updates;
        let solver = Self { steps };
        Ok(Run { schedule, solver })
    }
}

impl Solver for Tcd {
    fn update(&mut self, now: Point<'_>, noise: &mut FreshNoise<'_>) -> Tensor<4> {
        let [of_sample, of_output, of_noise] = self.steps[now.step];
        let next = now.mix([of_sample, of_output]);
        match now.schedule.draws_noise && now.step + 1 < self.steps.len() {
            true => combine(&[(1.0, &next), (of_noise, &noise())]),
            false => next,
        }
    }
}
