//! Multistep DPM-Solver++ up to order 3, Lu et al. (2022), arXiv 2211.01095, DPM-Solver, arXiv 2206.00927, and the
//! stochastic form of each.
//!
//! <https://github.com/huggingface/diffusers/blob/v0.32.2/src/diffusers/schedulers/scheduling_dpmsolver_multistep.py>

use super::betas::{DDPM_BETAS, ZeroSnr, alphas_cumprod};
use super::error::SchedulerError;
use super::fields::{lower_bound, order};
use super::multistep::{
    LastLevel, Level, Levels, MOST_ORDER, Multistep, MultistepParts, SHORT_RUN, Update,
};
use super::options::SchedulerOptions;
use super::prediction::Prediction;
use super::sigmas::{FinalSigma, SigmaCurve, SigmaTable};
use super::solver::Run;
use crate::models::config::{Choice, Fields};

/// Which integral is approximated (`algorithm_type`).
#[derive(Debug, Clone, Copy, PartialEq)]
enum Algorithm {
    /// Over the clean picture.
    PlusPlus { stochastic: bool },
    /// Over the noise.
    Plain { stochastic: bool },
}

impl Choice for Algorithm {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("dpmsolver++", Self::PlusPlus { stochastic: false }),
        ("sde-dpmsolver++", Self::PlusPlus { stochastic: true }),
        ("dpmsolver", Self::Plain { stochastic: false }),
        ("sde-dpmsolver", Self::Plain { stochastic: true }),
        // A DEIS configuration under this class.
        ("deis", Self::PlusPlus { stochastic: false }),
    ];
}

impl Algorithm {
    const DEFAULT: Self = Self::PlusPlus { stochastic: false };

    const fn is_stochastic(self) -> bool {
        let (Self::PlusPlus { stochastic } | Self::Plain { stochastic }) = self;
        stochastic
    }
}

/// The form of the second order (`solver_type`).
#[derive(Debug, Clone, Copy, PartialEq)]
enum SolverType {
    Midpoint,
    Heun,
}

impl Choice for SolverType {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("midpoint", Self::Midpoint),
        ("heun", Self::Heun),
        // Solver types of DEIS and UniPC under this class.
        ("logrho", Self::Midpoint),
        ("bh1", Self::Midpoint),
        ("bh2", Self::Midpoint),
    ];
}

/// What the model predicts beside its output (`variance_type`). DDPM's configurations always say.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Variance {
    /// Nothing.
    Fixed,
    /// The variance, in further channels.
    Learned,
}

impl Choice for Variance {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("fixed_small", Self::Fixed),
        ("fixed_small_log", Self::Fixed),
        ("fixed_large", Self::Fixed),
        ("fixed_large_log", Self::Fixed),
        ("learned", Self::Learned),
        ("learned_range", Self::Learned),
    ];
}

/// The solver a `DPMSolverMultistepScheduler` configuration describes.
pub(super) fn build(
    fields: &Fields,
    steps: usize,
    options: &SchedulerOptions,
) -> Result<Run<Multistep>, SchedulerError> {
    let alphas = alphas_cumprod(fields, DDPM_BETAS, ZeroSnr::Tiny)?;
    let table = SigmaTable::new(&alphas);
    fields.must_be("thresholding", false)?;
    if fields.choice_or("variance_type", Variance::Fixed)? == Variance::Learned {
        return Err(fields.error("variance_type", "a fixed one").into());
    }
    let prediction = fields.choice_or("prediction_type", Prediction::Epsilon)?;
    let algorithm = fields.choice_or("algorithm_type", Algorithm::DEFAULT)?;
    let solver = fields.choice_or("solver_type", SolverType::Midpoint)?;
    let last = fields.choice_or("final_sigmas_type", FinalSigma::Zero)?;
    if matches!(algorithm, Algorithm::Plain { .. }) && last == FinalSigma::Zero {
        // It integrates over the logarithm of the signal-to-noise ratio, which has no end there.
        let expected = "sigma_min with algorithm_type dpmsolver or sde-dpmsolver";
        return Err(fields.error("final_sigmas_type", expected).into());
    }
    let euler_at_final = fields.flag_or("euler_at_final", false)?;
    let order = Order {
        highest: order(fields, MOST_ORDER)?,
        lower_at_end: fields.flag_or("lower_order_final", true)?,
        first_at_end: euler_at_final || last == FinalSigma::Zero,
    };
    let curve = match (
        SigmaCurve::read(fields)?,
        fields.flag_or("use_lu_lambdas", false)?,
    ) {
        (SigmaCurve::Karras, _) => SigmaCurve::Karras,
        (_, true) => SigmaCurve::Lu,
        (curve, false) => curve,
    };
    let last = match last {
        FinalSigma::Zero => LastLevel::Zero,
        FinalSigma::Min => LastLevel::TableMin,
    };
    let clipped = clipped_length(&alphas, lower_bound(fields, "lambda_min_clipped")?);
    let levels = Levels::new(fields, &table, clipped, steps, curve, last)?;

    let mut convert = Vec::with_capacity(levels.steps());
    let mut updates = Vec::with_capacity(levels.steps());
    for i in 0..levels.steps() {
        let now = levels.level(i);
        convert.push(match algorithm {
            Algorithm::PlusPlus { .. } => prediction.original(now.alpha, now.sigma),
            Algorithm::Plain { .. } => prediction.noise(now.alpha, now.sigma),
        });
        // Outputs of steps that are left out at the start are not known.
        let known = i.saturating_sub(options.begin_at) + 1;
        let order = order.at(levels.steps() - i, levels.steps()).min(known);
        if order > 2 && algorithm == (Algorithm::Plain { stochastic: true }) {
            let expected = "1 or 2 with algorithm_type sde-dpmsolver";
            return Err(fields.error("solver_order", expected).into());
        }
        let known: Vec<Level> = (0..order).map(|back| levels.level(i - back)).collect();
        updates.push(update(algorithm, solver, levels.level(i + 1), &known));
    }
    let parts = MultistepParts {
        levels,
        prediction,
        convert,
        updates,
        stochastic: algorithm.is_stochastic(),
        train: table.len(),
    };
    Multistep::new(fields.model(), parts, options)
}

/// Number of training timesteps whose lambda is at least `least`.
fn clipped_length(alphas: &[f32], least: f64) -> usize {
    let lambda = |alpha: &f32| alpha.sqrt().ln() - (1.0 - alpha).sqrt().ln();
    alphas
        .iter()
        .filter(|alpha| f64::from(lambda(alpha)) >= least)
        .count()
}

/// Which order each step takes.
#[derive(Debug, Clone, Copy)]
struct Order {
    highest: usize,
    lower_at_end: bool,
    first_at_end: bool,
}

impl Order {
    /// The order with `left` of `steps` steps to go.
    fn at(self, left: usize, steps: usize) -> usize {
        let short = self.lower_at_end && steps < SHORT_RUN;
        match left {
            1 if self.first_at_end || short => 1,
            2 if short => self.highest.min(2),
            _ => self.highest,
        }
    }
}

/// The step from the levels in `known` (newest first, as many as the order) to `next`.
fn update(algorithm: Algorithm, solver: SolverType, next: Level, known: &[Level]) -> Update {
    let now = known[0];
    let h = next.lambda - now.lambda;
    // Weights of the output and of its first and second difference quotient.
    let (sample, phi, noise) = match algorithm {
        Algorithm::PlusPlus { stochastic: false } => {
            let decay = (-h).exp() - 1.0;
            let heun = decay / h + 1.0;
            let first = match (known.len(), solver) {
                (2, SolverType::Midpoint) => -0.5 * (next.alpha * decay),
                _ => next.alpha * heun,
            };
            let second = -(next.alpha * ((decay + h) / (h * h) - 0.5));
            (
                next.sigma / now.sigma,
                [-(next.alpha * decay), first, second],
                0.0,
            )
        }
        Algorithm::PlusPlus { stochastic: true } => {
            let decay = 1.0 - (-2.0 * h).exp();
            let first = match (known.len(), solver) {
                (2, SolverType::Midpoint) => 0.5 * (next.alpha * decay),
                _ => next.alpha * (decay / (-2.0 * h) + 1.0),
            };
            let second = next.alpha * ((decay - 2.0 * h) / (2.0 * h).powi(2) - 0.5);
            let sample = next.sigma / now.sigma * (-h).exp();
            (
                sample,
                [next.alpha * decay, first, second],
                next.sigma * decay.sqrt(),
            )
        }
        Algorithm::Plain { stochastic } => {
            // The stochastic form moves twice as far and goes back by fresh noise.
            let reach = if stochastic { -2.0 } else { -1.0 };
            let growth = h.exp() - 1.0;
            let first = match (known.len(), solver) {
                (2, SolverType::Midpoint) => reach * 0.5 * (next.sigma * growth),
                _ => reach * (next.sigma * (growth / h - 1.0)),
            };
            let second = -(next.sigma * ((growth - h) / (h * h) - 0.5));
            let noise = match stochastic {
                true => next.sigma * ((2.0 * h).exp() - 1.0).sqrt(),
                false => 0.0,
            };
            let sample = next.alpha / now.alpha;
            (
                sample,
                [reach * (next.sigma * growth), first, second],
                noise,
            )
        }
    };
    let quotients = difference_quotients(h, known);
    let weight = |output: usize| {
        (0..known.len())
            .map(|i| phi[i] * quotients[i][output])
            .sum()
    };
    Update {
        sample,
        outputs: std::array::from_fn(weight),
        noise,
    }
}

/// Difference quotients of order 0, 1 and 2 in lambda, as weights of the outputs (newest first).
fn difference_quotients(h: f32, known: &[Level]) -> [[f32; MOST_ORDER]; MOST_ORDER] {
    let mut quotients = [[1.0, 0.0, 0.0], [0.0; 3], [0.0; 3]];
    let ratio = |i: usize| (known[i].lambda - known[i + 1].lambda) / h;
    if known.len() >= 2 {
        let r0 = ratio(0);
        quotients[1] = [1.0 / r0, -1.0 / r0, 0.0];
        if known.len() >= 3 {
            let r1 = ratio(1);
            let older = [0.0, 1.0 / r1, -1.0 / r1];
            let newer = quotients[1];
            quotients[1] =
                std::array::from_fn(|i| newer[i] + r0 / (r0 + r1) * (newer[i] - older[i]));
            quotients[2] = std::array::from_fn(|i| (newer[i] - older[i]) / (r0 + r1));
        }
    }
    quotients
}
