//! `UniPC` up to order 3: a predictor and a corrector that costs no model call; Zhao et al. (2023), arXiv 2302.04867.
//!
//! <https://github.com/huggingface/diffusers/blob/v0.32.2/src/diffusers/schedulers/scheduling_unipc_multistep.py>

use burn::tensor::Tensor;
use serde_json::Value;

use super::betas::{DDPM_BETAS, ZeroSnr, alphas_cumprod};
use super::combine::combine;
use super::error::SchedulerError;
use super::fields::order;
use super::history::History;
use super::multistep::{LastLevel, Level, Levels, MOST_ORDER};
use super::options::SchedulerOptions;
use super::prediction::Prediction;
use super::schedule::Schedule;
use super::sigmas::{FinalSigma, SigmaCurve, SigmaTable};
use super::solver::{FreshNoise, Point, Run, Solver};
use crate::models::config::{Choice, Fields};

/// `UniPC` over predictions of the clean picture.
#[derive(Debug, Clone)]
pub(super) struct UniPc {
    steps: Vec<Step>,
    /// Predictions of the clean picture.
    originals: History,
    /// The corrected sample of the step before.
    previous: Option<Tensor<4>>,
}

/// Weights of one step.
#[derive(Debug, Clone)]
struct Step {
    /// Replaces the sample by one corrected with this step's own prediction.
    corrector: Option<Weights>,
    predictor: Weights,
}

/// A weighted sum of a sample and predictions of the clean picture.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Weights {
    sample: f32,
    /// The prediction the corrector adds; 0 in a predictor.
    current: f32,
    /// Earlier predictions, newest first.
    originals: [f32; MOST_ORDER],
}

/// The function B(h) (`solver_type`).
#[derive(Debug, Clone, Copy, PartialEq)]
enum SolverType {
    /// h.
    Bh1,
    /// exp(h) - 1.
    Bh2,
}

impl Choice for SolverType {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("bh1", Self::Bh1),
        ("bh2", Self::Bh2),
        // Solver types of DPM-Solver++ and DEIS under this class.
        ("midpoint", Self::Bh2),
        ("heun", Self::Bh2),
        ("logrho", Self::Bh2),
    ];
}

impl UniPc {
    pub(super) fn new(
        fields: &Fields,
        steps: usize,
        options: &SchedulerOptions,
    ) -> Result<Run<Self>, SchedulerError> {
        let table = SigmaTable::new(&alphas_cumprod(fields, DDPM_BETAS, ZeroSnr::Tiny)?);
        fields.must_be("thresholding", false)?;
        fields.must_be("solver_p", Value::Null)?;
        fields.must_be("predict_x0", true)?;
        let prediction = fields.choice_or("prediction_type", Prediction::Epsilon)?;
        let solver = fields.choice_or("solver_type", SolverType::Bh2)?;
        let highest = order(fields, MOST_ORDER)?;
        let lower_at_end = fields.flag_or("lower_order_final", true)?;
        let uncorrected = fields
            .optional_numbers("disable_corrector")?
            .unwrap_or_default();
        let last = match fields.choice_or("final_sigmas_type", FinalSigma::Zero)? {
            FinalSigma::Zero => LastLevel::Zero,
            FinalSigma::Min => LastLevel::CurveEnd,
        };
        let curve = SigmaCurve::read(fields)?;
        let levels = Levels::new(fields, &table, table.len(), steps, curve, last)?;

        let (mut weights, mut order) = (Vec::new(), 0);
        for i in 0..levels.steps() {
            let now = levels.level(i);
            // The corrector redoes the step that led here, at the order it had.
            let before = |back: usize| levels.level(i - 1 - back);
            let corrected = i > options.begin_at && !uncorrected.contains(&((i - 1) as f64));
            let corrector = corrected.then(|| {
                Weights::corrector(solver, now, &(0..order).map(before).collect::<Vec<_>>())
            });
            let at_end = if lower_at_end {
                levels.steps() - i
            } else {
                highest
            };
            let outputs = i.saturating_sub(options.begin_at) + 1;
            order = highest.min(at_end).min(outputs);
            let known: Vec<Level> = (0..order).map(|back| levels.level(i - back)).collect();
            weights.push(Step {
                corrector,
                predictor: Weights::predictor(solver, levels.level(i + 1), &known),
            });
        }
        let forward = levels.forward();
        let (timesteps, sigmas) = (levels.timesteps, Some(levels.sigmas));
        let schedule =
            Schedule::variance_preserving(fields.model(), timesteps, sigmas, prediction, forward)
                .part(options, table.len())?;
        schedule.require_finite(&weights.iter().map(Step::coefficients).collect::<Vec<_>>())?;
        let solver = Self {
            steps: weights,
            originals: History::new(MOST_ORDER),
            previous: None,
        };
        Ok(Run { schedule, solver })
    }
}

impl Solver for UniPc {
    fn update(&mut self, now: Point<'_>, _noise: &mut FreshNoise<'_>) -> Tensor<4> {
        let original = now.original(None);
        let Step {
            corrector,
            predictor,
        } = &self.steps[now.step];
        let sample = match (corrector, &self.previous) {
            (Some(corrector), Some(previous)) => {
                let mut terms = vec![(corrector.sample, previous), (corrector.current, &original)];
                terms.extend(self.originals.weighted(&corrector.originals));
                combine(&terms)
            }
            _ => now.sample,
        };
        self.originals.push(original);
        let mut terms = vec![(predictor.sample, &sample)];
        terms.extend(self.originals.weighted(&predictor.originals));
        let next = combine(&terms);
        self.previous = Some(sample);
        next
    }
}

impl Step {
    fn coefficients(&self) -> [f32; 2 * (2 + MOST_ORDER)] {
        let weights = [self.corrector.unwrap_or(self.predictor), self.predictor];
        let flat = weights.map(|weights| {
            let [newest, middle, oldest] = weights.originals;
            [weights.sample, weights.current, newest, middle, oldest]
        });
        std::array::from_fn(|i| flat.as_flattened()[i])
    }
}

impl Weights {
    /// The step from the levels in `known` (newest first, as many as the order) to `next`.
    fn predictor(solver: SolverType, next: Level, known: &[Level]) -> Self {
        let series = Series::new(solver, next, known);
        // diffusers takes the limit for small h at order 2.
        let rho = match known.len() {
            0 | 1 => Vec::new(),
            2 => vec![0.5],
            order => series.solve(order - 1),
        };
        series.weights(next, known, &rho, 0.0)
    }

    /// The same step, with the prediction at `next` known.
    fn corrector(solver: SolverType, next: Level, known: &[Level]) -> Self {
        let series = Series::new(solver, next, known);
        let mut rho = match known.len() {
            0 | 1 => vec![0.5],
            order => series.solve(order),
        };
        let current = rho.pop().unwrap_or_default();
        series.weights(next, known, &rho, current)
    }
}

/// The conditions that make the residual of a step vanish up to its order.
#[derive(Debug)]
struct Series {
    /// Positions in lambda of the earlier levels, and at last of the next, in units of the step from the newest.
    ratios: Vec<f32>,
    /// Right-hand sides.
    moments: Vec<f32>,
    /// exp(-h) - 1.
    decay: f32,
    /// B(-h).
    scale: f32,
}

impl Series {
    fn new(solver: SolverType, next: Level, known: &[Level]) -> Self {
        let h = next.lambda - known[0].lambda;
        let earlier = known[1..]
            .iter()
            .map(|level| (level.lambda - known[0].lambda) / h);
        let ratios: Vec<f32> = earlier.chain([1.0]).collect();
        let decay = (-h).exp_m1();
        let scale = match solver {
            SolverType::Bh1 => -h,
            SolverType::Bh2 => decay,
        };
        let (mut phi, mut factorial) = (decay / -h - 1.0, 1.0);
        let mut moments = Vec::with_capacity(ratios.len());
        for i in 1..=ratios.len() {
            moments.push(phi * factorial / scale);
            factorial *= (i + 1) as f32;
            phi = phi / -h - 1.0 / factorial;
        }
        Self {
            ratios,
            moments,
            decay,
            scale,
        }
    }

    /// Solves the Vandermonde system of the first `size` conditions.
    fn solve(&self, size: usize) -> Vec<f32> {
        let row = |power: usize| {
            self.ratios[..size]
                .iter()
                .map(|ratio| ratio.powi(power as i32))
                .collect()
        };
        let mut matrix: Vec<Vec<f32>> = (0..size).map(row).collect();
        let mut right = self.moments[..size].to_vec();
        for column in 0..size {
            let magnitude = |row: &usize| matrix[*row][column].abs();
            let pivot = (column..size)
                .max_by(|a, b| magnitude(a).total_cmp(&magnitude(b)))
                .unwrap_or(column);
            matrix.swap(column, pivot);
            right.swap(column, pivot);
            for below in column + 1..size {
                let factor = matrix[below][column] / matrix[column][column];
                let (above, rest) = matrix.split_at_mut(below);
                for (number, pivot) in rest[0][column..].iter_mut().zip(&above[column][column..]) {
                    *number -= factor * pivot;
                }
                right[below] -= factor * right[column];
            }
        }
        for row in (0..size).rev() {
            let known: f32 = (row + 1..size).map(|k| matrix[row][k] * right[k]).sum();
            right[row] = (right[row] - known) / matrix[row][row];
        }
        right
    }

    /// `rho` weighs the difference quotients to the earlier predictions, `current` the one to the current prediction.
    fn weights(&self, next: Level, known: &[Level], rho: &[f32], current: f32) -> Weights {
        let residual = next.alpha * self.scale;
        // B(h) = h is infinite in a step to zero noise, which is of order 1 and has no residual.
        let current = if current == 0.0 {
            0.0
        } else {
            residual * current
        };
        let mut originals = [0.0; MOST_ORDER];
        originals[0] = -(next.alpha * self.decay) + current;
        for (i, (rho, ratio)) in rho.iter().zip(&self.ratios).enumerate() {
            let weight = residual * rho / ratio;
            originals[i + 1] = -weight;
            originals[0] += weight;
        }
        Weights {
            sample: next.sigma / known[0].sigma,
            current: -current,
            originals,
        }
    }
}
