//! What DPM-Solver++, DEIS and `UniPC` share: levels over whole timesteps, and updates over the last few outputs.

use burn::tensor::Tensor;

use super::combine::{combine, single};
use super::error::SchedulerError;
use super::fields::Fields;
use super::history::History;
use super::options::SchedulerOptions;
use super::prediction::{Factors, alpha_sigma};
use super::schedule::Schedule;
use super::scheduler::{NoiseFn, Scheduler};
use super::sigmas::{SigmaCurve, SigmaTable};
use super::spacing::Spacing;

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
        fields: Fields<'_>,
        table: &SigmaTable,
        clipped: usize,
        steps: usize,
        curve: SigmaCurve,
        last: LastLevel,
    ) -> Result<Self, SchedulerError> {
        // Each step needs a training timestep below its own.
        fields.steps(steps, 1, table.len() - 1)?;
        let spacing = fields.choice("timestep_spacing", Spacing::Linspace)?;
        let offset = fields.count("steps_offset", 0, table.len())?;
        let levels = curve.levels(table.max().into(), table.min().into(), steps);
        let end = match (last, &levels) {
            (LastLevel::Zero, _) => 0.0,
            (LastLevel::CurveEnd, Some(levels)) => levels[steps - 1] as f32,
            (LastLevel::TableMin | LastLevel::CurveEnd, _) => table.min(),
        };
        let (timesteps, levels): (Vec<f64>, Vec<f64>) = match levels {
            Some(levels) => {
                let whole = |sigma: &f64| match curve {
                    // diffusers rounds for the other curves and truncates for this one.
                    SigmaCurve::Exponential => table.timestep(*sigma).trunc(),
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
    schedule: Schedule,
    convert: Vec<Factors>,
    updates: Vec<Update>,
    outputs: History,
}

/// The parts of a [`Multistep`].
#[derive(Debug)]
pub(super) struct MultistepParts {
    pub(super) levels: Levels,
    /// The clean picture from sample and model output.
    pub(super) original: Vec<Factors>,
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
    ) -> Result<Self, SchedulerError> {
        let Levels { timesteps, sigmas } = parts.levels;
        let mut schedule =
            Schedule::variance_preserving(class, timesteps, Some(sigmas), parts.original);
        schedule.draws_noise = parts.stochastic;
        let coefficients: Vec<_> = parts.updates.iter().map(Update::coefficients).collect();
        schedule.require_finite(parts.convert.iter().map(|factors| &factors[..]))?;
        schedule.require_finite(coefficients.iter().map(|update| &update[..]))?;
        schedule.end_after(options.denoising_end, parts.train);
        Ok(Self {
            schedule,
            convert: parts.convert,
            updates: parts.updates,
            outputs: History::new(MOST_ORDER),
        })
    }
}

impl Scheduler for Multistep {
    fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    fn step(
        &mut self,
        model_output: Tensor<4>,
        step: usize,
        sample: Tensor<4>,
        noise: &mut NoiseFn<'_>,
    ) -> Result<Tensor<4>, SchedulerError> {
        self.schedule.advance(step)?;
        let dtype = sample.dtype();
        let (output, sample) = (single(model_output), single(sample));
        let [of_sample, of_output] = self.convert[step];
        self.outputs
            .push(combine(&[(of_sample, &sample), (of_output, &output)]));
        let update = &self.updates[step];
        let noise = self
            .schedule
            .draws_noise
            .then(|| single(noise(sample.dims())));
        let mut terms = vec![(update.sample, &sample)];
        terms.extend(self.outputs.weighted(&update.outputs));
        terms.extend(noise.as_ref().map(|noise| (update.noise, noise)));
        Ok(combine(&terms).cast(dtype))
    }
}
