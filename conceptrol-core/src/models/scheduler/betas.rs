//! The training noise schedule: betas of a configuration and their cumulative alphas, in torch's single precision.

use std::f64::consts::PI;

use super::error::SchedulerError;
use crate::models::config::{Choice, Fields};

/// Longest training schedule accepted; published ones have 1000 steps.
const MOST_TRAIN_STEPS: usize = 100_000;

/// How betas grow over the training timesteps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum BetaSchedule {
    Linear,
    ScaledLinear,
    SquaredCosine,
}

impl Choice for BetaSchedule {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("linear", Self::Linear),
        ("scaled_linear", Self::ScaledLinear),
        ("squaredcos_cap_v2", Self::SquaredCosine),
    ];
}

/// What a class does with `rescale_betas_zero_snr`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ZeroSnr {
    /// The class has no such field.
    Ignored,
    /// The last alpha becomes 0.
    Exact,
    /// The last alpha becomes 2^-24, so that its sigma stays finite.
    Tiny,
}

/// Betas of the classes whose configuration leaves them out.
pub(super) const DDPM_BETAS: (f64, f64, BetaSchedule) = (0.0001, 0.02, BetaSchedule::Linear);

/// Betas of the second-order classes of k-diffusion whose configuration leaves them out.
pub(super) const SECOND_ORDER_BETAS: (f64, f64, BetaSchedule) =
    (0.00085, 0.012, BetaSchedule::Linear);

/// Betas of latent diffusion, the defaults of LCM and TCD.
pub(super) const LATENT_BETAS: (f64, f64, BetaSchedule) =
    (0.00085, 0.012, BetaSchedule::ScaledLinear);

/// `alphas_cumprod[t]`, the share of signal power at training timestep `t`, descending.
///
/// Every intermediate has torch's precision: `linspace` with fused multiply-add from both ends, `cumprod` accumulated
/// in double precision and rounded to single.
pub(super) fn alphas_cumprod(
    fields: &Fields,
    (start, end, schedule): (f64, f64, BetaSchedule),
    zero_snr: ZeroSnr,
) -> Result<Vec<f32>, SchedulerError> {
    let train = fields.size_or("num_train_timesteps", 2..=MOST_TRAIN_STEPS, 1000)?;
    let start = fields.number_or("beta_start", start)?;
    let end = fields.number_or("beta_end", end)?;
    let schedule = fields.choice_or("beta_schedule", schedule)?;
    let mut betas: Vec<f32> = match (fields.optional_numbers("trained_betas")?, schedule) {
        (Some(trained), _) if trained.len() != train => {
            let expected = format!(
                "a list of num_train_timesteps = {train} numbers, not {}",
                trained.len()
            );
            return Err(fields.error("trained_betas", expected).into());
        }
        (Some(trained), _) => trained.into_iter().map(|beta| beta as f32).collect(),
        (None, BetaSchedule::Linear) => linspace(start, end, train),
        (None, BetaSchedule::ScaledLinear) => linspace(start.sqrt(), end.sqrt(), train)
            .into_iter()
            .map(|root| root * root)
            .collect(),
        (None, BetaSchedule::SquaredCosine) => squared_cosine(train),
    };
    let rescale =
        zero_snr != ZeroSnr::Ignored && fields.flag_or("rescale_betas_zero_snr", false)?;
    if rescale {
        betas = rescale_to_zero_snr(&betas);
    }
    if !betas.iter().all(|beta| (0.0..=1.0).contains(beta)) {
        let field = if fields.optional_numbers("trained_betas")?.is_some() {
            "trained_betas"
        } else {
            "beta_end"
        };
        return Err(fields
            .error(field, "such that every beta lies within 0..=1")
            .into());
    }
    let mut alphas = cumulative_alphas(&betas);
    if rescale && zero_snr == ZeroSnr::Tiny {
        alphas[train - 1] = (-24.0f32).exp2();
    }
    Ok(alphas)
}

/// `torch.linspace` in single precision.
fn linspace(start: f64, end: f64, count: usize) -> Vec<f32> {
    let (start, end) = (start as f32, end as f32);
    let step = if count > 1 {
        (end - start) / (count - 1) as f32
    } else {
        0.0
    };
    let from_start = |i: usize| step.mul_add(i as f32, start);
    let from_end = |i: usize| (-step).mul_add((count - 1 - i) as f32, end);
    (0..count)
        .map(|i| {
            if i < count / 2 {
                from_start(i)
            } else {
                from_end(i)
            }
        })
        .collect()
}

/// The cosine schedule of Nichol and Dhariwal (2021) with betas capped at 0.999.
fn squared_cosine(train: usize) -> Vec<f32> {
    let alpha_bar = |t: f64| ((t + 0.008) / 1.008 * PI / 2.0).cos().powi(2);
    let train = train as f64;
    let beta = |i: f64| (1.0 - alpha_bar((i + 1.0) / train) / alpha_bar(i / train)).min(0.999);
    (0..train as usize).map(|i| beta(i as f64) as f32).collect()
}

/// Products of `1 - beta` up to every timestep.
fn cumulative_alphas(betas: &[f32]) -> Vec<f32> {
    let product = |product: &mut f64, beta: &f32| {
        *product *= f64::from(1.0 - beta);
        Some(*product as f32)
    };
    betas.iter().scan(1.0, product).collect()
}

/// Shifts and scales the schedule so that its last step has no signal left: algorithm 1 of Lin et al. (2023),
/// arXiv 2305.08891.
fn rescale_to_zero_snr(betas: &[f32]) -> Vec<f32> {
    let roots: Vec<f32> = cumulative_alphas(betas)
        .into_iter()
        .map(f32::sqrt)
        .collect();
    let (first, last) = (roots[0], roots[roots.len() - 1]);
    let factor = first / (first - last);
    let alphas_bar: Vec<f32> = roots
        .iter()
        .map(|root| ((root - last) * factor).powi(2))
        .collect();
    let previous = std::iter::once(1.0).chain(alphas_bar.iter().copied());
    alphas_bar
        .iter()
        .zip(previous)
        .map(|(now, before)| 1.0 - now / before)
        .collect()
}
