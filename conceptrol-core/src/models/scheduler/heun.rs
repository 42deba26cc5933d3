//! Heun's method on the probability flow: algorithm 1 of Karras et al. (2022), arXiv 2206.00364, without churn.
//!
//! <https://github.com/huggingface/diffusers/blob/v0.32.2/src/diffusers/schedulers/scheduling_heun_discrete.py>

use super::betas::{SECOND_ORDER_BETAS, ZeroSnr, alphas_cumprod};
use super::error::SchedulerError;
use super::fields::clip;
use super::fractional::Fractional;
use super::options::SchedulerOptions;
use super::prediction::Prediction;
use super::sigmas::{SigmaCurve, SigmaTable};
use super::solver::Run;
use super::two_calls::{Step, TwoCalls, TwoCallsParts};
use crate::models::config::Fields;

/// The solver a `HeunDiscreteScheduler` configuration describes: Euler's step, and again with the mean of the slopes at
/// its two ends.
pub(super) fn build(
    fields: &Fields,
    steps: usize,
    options: &SchedulerOptions,
) -> Result<Run<TwoCalls>, SchedulerError> {
    let table = SigmaTable::new(&alphas_cumprod(fields, SECOND_ORDER_BETAS, ZeroSnr::Tiny)?);
    let levels = Fractional::read(fields, &table, steps)?;
    let (max, min) = levels.ends();
    let levels = levels.along(SigmaCurve::read(fields)?, &table, max, min);
    let sigma = |step: usize| levels.sigmas.get(step).map_or(0.0, |sigma| *sigma as f32);
    let step = |i: usize| {
        let (from, to) = (sigma(i), sigma(i + 1));
        Step {
            from,
            at: to,
            timestep: levels.timesteps.get(i + 1).copied().unwrap_or(0.0),
            slopes: [(to - from) / 2.0; 2],
            noise: 0.0,
        }
    };
    let twice = (1..steps).flat_map(|step| [sigma(step); 2]);
    let parts = TwoCallsParts {
        steps: (0..steps).map(step).collect(),
        sigmas: std::iter::once(sigma(0))
            .chain(twice)
            .chain([0.0])
            .collect(),
        timesteps: levels.timesteps.clone(),
        spacing: levels.spacing,
        prediction: fields.choice_or("prediction_type", Prediction::Epsilon)?,
        clip: clip(fields, "clip_sample", false)?,
        train: table.len(),
    };
    TwoCalls::new(fields.model(), parts, options)
}
