//! Euler's method on the probability flow: algorithm 2 of Karras et al. (2022), arXiv 2206.00364, without churn.
//!
//! <https://github.com/huggingface/diffusers/blob/v0.32.2/src/diffusers/schedulers/scheduling_euler_discrete.py>

use burn::tensor::Tensor;

use super::betas::{DDPM_BETAS, ZeroSnr, alphas_cumprod};
use super::error::SchedulerError;
use super::fields::positive;
use super::fractional::Fractional;
use super::options::SchedulerOptions;
use super::prediction::{Factors, Prediction};
use super::schedule::Schedule;
use super::sigmas::{FinalSigma, SigmaCurve, SigmaTable};
use super::solver::{FreshNoise, Point, Run, Solver};
use crate::models::config::{Choice, Fields};

/// Euler's method over sigmas.
#[derive(Debug, Clone)]
pub(super) struct Euler {
    steps: Vec<Factors>,
}

/// How sigmas between training timesteps are found (`interpolation_type`).
#[derive(Debug, Clone, Copy, PartialEq)]
enum Interpolation {
    Linear,
    LogLinear,
}

impl Choice for Interpolation {
    const CHOICES: &'static [(&'static str, Self)] =
        &[("linear", Self::Linear), ("log_linear", Self::LogLinear)];
}

/// What the model is told (`timestep_type`).
#[derive(Debug, Clone, Copy, PartialEq)]
enum TimestepType {
    Discrete,
    /// A quarter of the logarithm of sigma, with v-prediction.
    Continuous,
}

impl Choice for TimestepType {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("discrete", Self::Discrete),
        ("continuous", Self::Continuous),
    ];
}

impl Euler {
    pub(super) fn new(
        fields: &Fields,
        steps: usize,
        options: &SchedulerOptions,
    ) -> Result<Run<Self>, SchedulerError> {
        let table = SigmaTable::new(&alphas_cumprod(fields, DDPM_BETAS, ZeroSnr::Tiny)?);
        let prediction = fields.choice_or("prediction_type", Prediction::Epsilon)?;
        let mut levels = Fractional::read(fields, &table, steps)?;
        if fields.choice_or("interpolation_type", Interpolation::Linear)?
            == Interpolation::LogLinear
        {
            let (first, last) = (f64::from(table.max()), f64::from(table.min()));
            // One level more than steps, as diffusers has it; the last is not reached.
            let logarithmic = SigmaCurve::Exponential.levels(first, last, steps + 1);
            levels.sigmas = logarithmic.unwrap_or_default();
        }
        let (max, min) = levels.ends();
        let max = positive(fields, "sigma_max")?.unwrap_or(max);
        let min = positive(fields, "sigma_min")?.unwrap_or(min);
        let levels = levels.along(SigmaCurve::read(fields)?, &table, max, min);
        let (timesteps, spacing) = (levels.timesteps, levels.spacing);
        let mut sigmas: Vec<f32> = levels
            .sigmas
            .into_iter()
            .map(|sigma| sigma as f32)
            .collect();
        sigmas.push(
            match fields.choice_or("final_sigmas_type", FinalSigma::Zero)? {
                FinalSigma::Zero => 0.0,
                FinalSigma::Min => table.min(),
            },
        );
        let continuous =
            fields.choice_or("timestep_type", TimestepType::Discrete)? == TimestepType::Continuous;
        let timesteps = match continuous && prediction == Prediction::V {
            true => sigmas[..steps]
                .iter()
                .map(|sigma| f64::from(0.25 * sigma.ln()))
                .collect(),
            false => timesteps,
        };

        let schedule = Schedule::exploding(fields.model(), timesteps, sigmas, spacing, prediction)
            .part(options, table.len())?;
        let update =
            |([from, to], original): ([f32; 2], _)| prediction.exploding_step(from, to, original);
        let steps: Vec<_> = schedule.levels().map(update).collect();
        schedule.require_finite(&steps)?;
        let solver = Self { steps };
        Ok(Run { schedule, solver })
    }
}

impl Solver for Euler {
    fn update(&mut self, now: Point<'_>, _noise: &mut FreshNoise<'_>) -> Tensor<4> {
        now.mix(self.steps[now.step])
    }
}
