//! What DPM-Solver++, DEIS and `UniPC` share: levels over whole timesteps, and updates over the last few outputs.

use burn::tensor::Tensor;

use super::combine::combine;
use super::error::SchedulerError;
use super::fields::check_steps;
use super::history::History;
use super::options::SchedulerOptions;
use super::prediction::{Factors, Prediction, alpha_sigma};
use super::schedule::Schedule;
use super::sigmas::{SigmaCurve, SigmaTable};
use super::solver::{FreshNoise, Point, Run, Solver};
use super::spacing::Spacing;
use crate::models::config::Fields;

/// Highest order of the multistep solvers.
pub(super) const MOST_ORDER: usize = 3;

/// Runs shorter than this take lower orders at the end, for stability.
pub(super) const SHORT_RUN: usize = 15;

/// Timesteps of a run, and its noise levels with the one after the last step.
#[derive(Debug, Clone)]
pub(super) struct Levels {
    pub(super) timesteps: Vec<f64>,
    pub(super) sigmas: Vec<f32>,
}

/// The level after the last step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum LastLevel {
    Zero,
    /// That of the first training timestep.
    TableMin,
    /// As before the last step where a curve gives the levels, else that of the first training timestep.
    CurveEnd,
}

impl Levels {
    /// The levels of a run of `steps` steps over the training timesteps below `clipped`.
    pub(super) fn new(
        fields: &Fields,
        table: &SigmaTable,
        clipped: usize,
        steps: usize,
        curve: SigmaCurve,
        last: LastLevel,
    ) -> Result<Self, SchedulerError> {
        // Each step needs a training timestep below its own.
        check_steps(fields, steps, 1, table.len() - 1)?;
        let spacing = fields.choice_or("timestep_spacing", Spacing::Linspace)?;
        let offset = fields.size_or("steps_offset", 0..=table.len(), 0)?;
        let levels = curve.levels(table.max().into(), table.min().into(), steps);
        let end = match (last, &levels) {
            (LastLevel::Zero, _) => 0.0,
            (LastLevel::CurveEnd, Some(levels)) => levels[steps - 1] as f32,
            (LastLevel::TableMin | LastLevel::CurveEnd, _) => table.min(),
        };
        let (timesteps, levels): (Vec<f64>, Vec<f64>) = match levels {
            Some(levels) => {
                let whole = |sigma: &f64| match curve {
                    // diffusers rounds for the other curves and truncates for these.
                    SigmaCurve::Exponential | SigmaCurve::Beta => table.timestep(*sigma).trunc(),
                    _ => table.timestep(*sigma).round_ties_even(),
                };
                (levels.iter().map(whole).collect(), levels)
            }
            None => {
                let whole = spacing.intervals(clipped, table.len(), steps, offset);
                let timesteps: Vec<f64> =
                    whole.into_iter().map(|timestep| timestep as f64).collect();
                let levels = timesteps
                    .iter()
                    .map(|timestep| table.at(*timestep))
                    .collect();
                (timesteps, levels)
            }
        };
        let sigmas = levels
            .into_iter()
            .map(|sigma| sigma as f32)
            .chain([end])
            .collect();
        Ok(Self { timesteps, sigmas })
    }

    /// Number of steps: one less than noise levels.
    pub(super) fn steps(&self) -> usize {
        self.timesteps.len()
    }

    pub(super) fn level(&self, i: usize) -> Level {
        Level::new(self.sigmas[i])
    }

    /// Factors of picture and noise before every step.
    pub(super) fn forward(&self) -> Vec<Factors> {
        let sigmas = self.sigmas[..self.steps()].iter();
        sigmas.map(|sigma| alpha_sigma(*sigma).into()).collect()
    }
}

/// One noise level at unit variance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Level {
    pub(super) alpha: f32,
    pub(super) sigma: f32,
    /// Half the logarithm of the signal-to-noise ratio.
    pub(super) lambda: f32,
}

impl Level {
    fn new(ratio: f32) -> Self {
        let (alpha, sigma) = alpha_sigma(ratio);
        Self {
            alpha,
            sigma,
            lambda: alpha.ln() - sigma.ln(),
        }
    }
}

/// One update as a weighted sum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Update {
    pub(super) sample: f32,
    /// Weights of the converted model outputs, newest first.
    pub(super) outputs: [f32; MOST_ORDER],
    pub(super) noise: f32,
}

impl Update {
    fn coefficients(&self) -> [f32; MOST_ORDER + 2] {
        let [newest, middle, oldest] = self.outputs;
        [self.sample, newest, middle, oldest, self.noise]
    }
}

/// A solver that converts every model output (to the clean picture or the noise) and combines the last few.
#[derive(Debug, Clone)]
pub(super) struct Multistep {
    convert: Vec<Factors>,
    updates: Vec<Update>,
    outputs: History,
}

/// The parts of a [`Multistep`].
#[derive(Debug)]
pub(super) struct MultistepParts {
    pub(super) levels: Levels,
    pub(super) prediction: Prediction,
    /// What the solver keeps of sample and model output.
    pub(super) convert: Vec<Factors>,
    pub(super) updates: Vec<Update>,
    pub(super) stochastic: bool,
    pub(super) train: usize,
}

impl Multistep {
    pub(super) fn new(
        class: &'static str,
        parts: MultistepParts,
        options: &SchedulerOptions,
    ) -> Result<Run<Self>, SchedulerError> {
        let forward = parts.levels.forward();
        let Levels { timesteps, sigmas } = parts.levels;
        let sigmas = Some(sigmas);
        let mut schedule =
            Schedule::variance_preserving(class, timesteps, sigmas, parts.prediction, forward)
                .part(options, parts.train)?;
        schedule.draws_noise = parts.stochastic;
        schedule.require_finite(&parts.convert)?;
        let coefficients = parts.updates.iter().map(Update::coefficients);
        schedule.require_finite(&coefficients.collect::<Vec<_>>())?;
        let solver = Self {
            convert: parts.convert,
            updates: parts.updates,
            outputs: History::new(MOST_ORDER),
        };
        Ok(Run { schedule, solver })
    }
}

impl Solver for Multistep {
    fn update(&mut self, now: Point<'_>, noise: &mut FreshNoise<'_>) -> Tensor<4> {
        self.outputs.push(now.mix(self.convert[now.step]));
        let update = &self.updates[now.step];
        let noise = now.schedule.draws_noise.then(noise);
        let mut terms = vec![(update.sample, &now.sample)];
        terms.extend(self.outputs.weighted(&update.outputs));
        terms.extend(noise.as_ref().map(|noise| (update.noise, noise)));
        combine(&terms)
    }
}
