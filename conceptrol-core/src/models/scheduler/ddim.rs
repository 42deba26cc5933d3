//! DDIM: Song et al. (2020), arXiv 2010.02502, equations 12 and 16.
//!
//! <https://github.com/huggingface/diffusers/blob/v0.32.2/src/diffusers/schedulers/scheduling_ddim.py>

use burn::tensor::Tensor;

use super::betas::{DDPM_BETAS, ZeroSnr, alphas_cumprod};
use super::combine::combine;
use super::error::SchedulerError;
use super::fields::{check_steps, clip, within};
use super::options::SchedulerOptions;
use super::prediction::{Factors, Prediction};
use super::schedule::Schedule;
use super::solver::{FreshNoise, Point, Run, Solver};
use super::spacing::Spacing;
use crate::models::config::Fields;

/// DDIM over whole timesteps.
#[derive(Debug, Clone)]
pub(super) struct Ddim {
    steps: Vec<Step>,
    clip: Option<f64>,
}

/// Coefficients of one step.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// The predicted noise.
    direction: Factors,
    /// Factors of clean picture, predicted noise and fresh noise.
    next: [f32; 3],
}

impl Step {
    fn coefficients(&self) -> [f32; 5] {
        let ([sample, output], [original, direction, noise]) = (self.direction, self.next);
        [sample, output, original, direction, noise]
    }
}

impl Ddim {
    pub(super) fn new(
        fields: &Fields,
        steps: usize,
        options: &SchedulerOptions,
    ) -> Result<Run<Self>, SchedulerError> {
        let alphas = alphas_cumprod(fields, DDPM_BETAS, ZeroSnr::Exact)?;
        let train = alphas.len();
        check_steps(fields, steps, 1, train)?;
        fields.must_be("thresholding", false)?;
        let prediction = fields.choice_or("prediction_type", Prediction::Epsilon)?;
        let spacing = fields.choice_or("timestep_spacing", Spacing::Leading)?;
        let offset = fields.size_or("steps_offset", 0..=train, 0)?;
        let final_alpha = if fields.flag_or("set_alpha_to_one", true)? {
            1.0
        } else {
            alphas[0]
        };
        let clip = clip(fields, "clip_sample", true)?;
        let eta = options.eta as f32;

        let timesteps = within(fields, spacing.whole(train, steps, offset), train)?;
        let stride = train / steps;
        let (mut forward, mut updates) = (Vec::new(), Vec::new());
        for timestep in &timesteps {
            let (now, next) = (
                alphas[*timestep],
                timestep
                    .checked_sub(stride)
                    .map_or(final_alpha, |t| alphas[t]),
            );
            let (alpha, sigma) = (now.sqrt(), (1.0 - now).sqrt());
            let variance = (1.0 - next) / (1.0 - now) * (1.0 - now / next);
            let fresh = if eta > 0.0 {
                eta * variance.sqrt()
            } else {
                0.0
            };
            forward.push([alpha, sigma]);
            updates.push(Step {
                direction: prediction.noise(alpha, sigma),
                next: [next.sqrt(), (1.0 - next - fresh * fresh).sqrt(), fresh],
            });
        }
        let timesteps = timesteps
            .into_iter()
            .map(|timestep| timestep as f64)
            .collect();
        let mut schedule =
            Schedule::variance_preserving(fields.model(), timesteps, None, prediction, forward)
                .part(options, train)?;
        schedule.draws_noise = eta > 0.0;
        schedule.require_finite(&updates.iter().map(Step::coefficients).collect::<Vec<_>>())?;
        let steps = updates;
        let solver = Self { steps, clip };
        Ok(Run { schedule, solver })
    }
}

impl Solver for Ddim {
    fn update(&mut self, now: Point<'_>, noise: &mut FreshNoise<'_>) -> Tensor<4> {
        let Step {
            direction,
            next: [of_original, of_direction, of_noise],
        } = self.steps[now.step];
        let (original, direction) = (now.original(self.clip), now.mix(direction));
        let next = combine(&[(of_original, &original), (of_direction, &direction)]);
        match now.schedule.draws_noise {
            true => combine(&[(1.0, &next), (of_noise, &noise())]),
            false => next,
        }
    }
}
