//! DPM-Solver-2 over the levels of Karras et al. (2022), arXiv 2206.00364, and its ancestral form (k-diffusion).
//!
//! <https://github.com/huggingface/diffusers/blob/v0.32.2/src/diffusers/schedulers/scheduling_k_dpm_2_discrete.py>,
//! <https://github.com/huggingface/diffusers/blob/v0.32.2/src/diffusers/schedulers/scheduling_k_dpm_2_ancestral_discrete.py>

use super::ancestral::split;
use super::betas::{SECOND_ORDER_BETAS, ZeroSnr, alphas_cumprod};
use super::error::SchedulerError;
use super::fractional::Fractional;
use super::options::SchedulerOptions;
use super::prediction::Prediction;
use super::sigmas::{SigmaCurve, SigmaTable};
use super::solver::Run;
use super::two_calls::{Step, TwoCalls, TwoCallsParts};
use crate::models::config::Fields;

/// The solver a `KDPM2DiscreteScheduler` or `KDPM2AncestralDiscreteScheduler` configuration describes: the slope halfway,
/// in the logarithm of sigma, leads the whole step.
pub(super) fn build(
    fields: &Fields,
    steps: usize,
    options: &SchedulerOptions,
    ancestral: bool,
) -> Result<Run<TwoCalls>, SchedulerError> {
    let table = SigmaTable::new(&alphas_cumprod(fields, SECOND_ORDER_BETAS, ZeroSnr::Tiny)?);
    let prediction = fields.choice_or("prediction_type", Prediction::Epsilon)?;
    if prediction == Prediction::Sample {
        let expected = "epsilon or v_prediction";
        return Err(fields.error("prediction_type", expected).into());
    }
    let levels = Fractional::read(fields, &table, steps)?;
    let (max, min) = levels.ends();
    let curve = SigmaCurve::read(fields)?;
    let mut levels = levels.along(curve, &table, max, min);
    if curve == SigmaCurve::Karras {
        let whole = levels.timesteps.iter();
        levels.timesteps = whole.map(|t| t.round_ties_even()).collect();
    }
    let sigma = |step: usize| levels.sigmas.get(step).map_or(0.0, |sigma| *sigma as f32);
    let step = |i: usize| {
        let (from, to) = (sigma(i), sigma(i + 1));
        let [down, up] = if ancestral {
            split(from, to)
        } else {
            [to, 0.0]
        };
        let at = match i + 1 < steps {
            true => halfway(from, down),
            false => 0.0,
        };
        Step {
            from,
            at,
            timestep: f64::from(table.timestep(at.into()) as f32),
            slopes: [0.0, down - from],
            noise: up,
        }
    };
    let twice = (1..steps + 1).flat_map(|step| [sigma(step); 2]);
    let parts = TwoCallsParts {
        steps: (0..steps).map(step).collect(),
        sigmas: std::iter::once(sigma(0))
            .chain(twice)
            .chain([0.0])
            .collect(),
        timesteps: levels.timesteps.clone(),
        spacing: levels.spacing,
        prediction,
        clip: None,
        train: table.len(),
    };
    TwoCalls::new(fields.model(), parts, options)
}

/// The mean of two levels in the logarithm.
fn halfway(from: f32, to: f32) -> f32 {
    let (from, to) = (from.ln(), to.ln());
    (from - (from - to) * 0.5).exp()
}
