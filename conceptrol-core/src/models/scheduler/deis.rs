//! DEIS in log-rho space up to order 3: Zhang and Chen (2022), arXiv 2204.13902.
//!
//! <https://github.com/huggingface/diffusers/blob/v0.32.2/src/diffusers/schedulers/scheduling_deis_multistep.py>

use super::betas::{DDPM_BETAS, ZeroSnr, alphas_cumprod};
use super::error::SchedulerError;
use super::fields::order;
use super::multistep::{
    LastLevel, Level, Levels, MOST_ORDER, Multistep, MultistepParts, SHORT_RUN, Update,
};
use super::options::SchedulerOptions;
use super::prediction::Prediction;
use super::sigmas::{SigmaCurve, SigmaTable};
use super::solver::Run;
use crate::models::config::{Choice, Fields};

/// The only algorithm of the class; its relatives' names are read as this one.
#[derive(Debug, Clone, Copy)]
struct Deis;

impl Choice for Deis {
    const CHOICES: &'static [(&'static str, Self)] =
        &[("deis", Self), ("dpmsolver", Self), ("dpmsolver++", Self)];
}

/// The only solver of the class; its relatives' names are read as this one.
#[derive(Debug, Clone, Copy)]
struct LogRho;

impl Choice for LogRho {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("logrho", Self),
        ("midpoint", Self),
        ("heun", Self),
        ("bh1", Self),
        ("bh2", Self),
    ];
}

/// The solver a `DEISMultistepScheduler` configuration describes.
pub(super) fn build(
    fields: &Fields,
    steps: usize,
    options: &SchedulerOptions,
) -> Result<Run<Multistep>, SchedulerError> {
    let table = SigmaTable::new(&alphas_cumprod(fields, DDPM_BETAS, ZeroSnr::Ignored)?);
    fields.must_be("thresholding", false)?;
    fields.choice_or("algorithm_type", Deis)?;
    fields.choice_or("solver_type", LogRho)?;
    let prediction = fields.choice_or("prediction_type", Prediction::Epsilon)?;
    let highest = order(fields, MOST_ORDER)?;
    let lower_at_end = fields.flag_or("lower_order_final", true)?;
    let curve = SigmaCurve::read(fields)?;
    let levels = Levels::new(
        fields,
        &table,
        table.len(),
        steps,
        curve,
        LastLevel::CurveEnd,
    )?;

    let (mut convert, mut updates) = (Vec::new(), Vec::new());
    for i in 0..levels.steps() {
        let now = levels.level(i);
        convert.push(prediction.noise(now.alpha, now.sigma));
        let short = lower_at_end && levels.steps() < SHORT_RUN;
        let at_end = if short { levels.steps() - i } else { highest };
        let known = i.saturating_sub(options.begin_at) + 1;
        let order = highest.min(known).min(at_end);
        let known: Vec<Level> = (0..order).map(|back| levels.level(i - back)).collect();
        updates.push(update(levels.level(i + 1), &known));
    }
    let parts = MultistepParts {
        levels,
        prediction,
        convert,
        updates,
        stochastic: false,
        train: table.len(),
    };
    Multistep::new(fields.model(), parts, options)
}

/// The step from the levels in `known` (newest first, as many as the order) to `next`.
///
/// The noise is interpolated in log(rho), rho = sigma / alpha, and integrated over rho.
fn update(next: Level, known: &[Level]) -> Update {
    let now = known[0];
    let rho = |level: &Level| level.sigma / level.alpha;
    let sample = next.alpha / now.alpha;
    let mut outputs = [0.0; MOST_ORDER];
    match known {
        [_] => outputs[0] = -(next.sigma * ((next.lambda - now.lambda).exp() - 1.0)),
        [s0, s1] => {
            let (t, s0, s1) = (rho(&next), rho(s0), rho(s1));
            outputs[0] = next.alpha * (linear(t, s0, s1) - linear(s0, s0, s1));
            outputs[1] = next.alpha * (linear(t, s1, s0) - linear(s0, s1, s0));
        }
        [s0, s1, s2, ..] => {
            let (t, s0, s1, s2) = (rho(&next), rho(s0), rho(s1), rho(s2));
            outputs[0] = next.alpha * (quadratic(t, s0, s1, s2) - quadratic(s0, s0, s1, s2));
            outputs[1] = next.alpha * (quadratic(t, s1, s2, s0) - quadratic(s0, s1, s2, s0));
            outputs[2] = next.alpha * (quadratic(t, s2, s0, s1) - quadratic(s0, s2, s0, s1));
        }
        [] => {}
    }
    Update {
        sample,
        outputs,
        noise: 0.0,
    }
}

/// Integral over `t` of the Lagrange polynomial in the logarithm that is 1 at `b` and 0 at `c`.
fn linear(t: f32, b: f32, c: f32) -> f32 {
    t * (-c.ln() + t.ln() - 1.0) / (b.ln() - c.ln())
}

/// Integral over `t` of the Lagrange polynomial in the logarithm that is 1 at `b` and 0 at `c` and `d`.
fn quadratic(t: f32, b: f32, c: f32, d: f32) -> f32 {
    let (log_t, b, c, d) = (t.ln(), b.ln(), c.ln(), d.ln());
    let numerator = t * (c * (d - log_t + 1.0) - d * log_t + d + log_t * log_t - 2.0 * log_t + 2.0);
    numerator / ((b - c) * (b - d))
}
