//! The part every scheduler shares: its timesteps, its noise levels, and where it stands.

use std::ops::Range;

use burn::tensor::Tensor;

use super::combine::{combine, single};
use super::error::SchedulerError;
use super::options::SchedulerOptions;
use super::prediction::{Factors, Prediction};
use super::spacing::Spacing;

/// Timesteps and noise levels of one run, all known on the host before the first step.
#[derive(Debug, Clone)]
pub struct Schedule {
    class: &'static str,
    timesteps: Vec<f64>,
    sigmas: Option<Vec<f32>>,
    init_noise_sigma: f64,
    /// Factor of the model's input at every timestep; empty where the input is the sample itself.
    input_scale: Vec<f32>,
    /// The latents at every timestep as (factor of the clean picture, factor of the noise).
    forward: Vec<Factors>,
    /// The clean picture predicted at every timestep as (factor of the sample, factor of the model output).
    pub(super) original: Vec<Factors>,
    pub(super) draws_noise: bool,
    /// Model calls of a step. The last step of a whole schedule is one call, whatever the others are.
    calls_per_step: usize,
    /// Which of the calls are made.
    run: Range<usize>,
    /// The call that is due.
    next: usize,
}

impl Schedule {
    /// A schedule over latents that the model sees as they are.
    fn new(
        class: &'static str,
        timesteps: Vec<f64>,
        sigmas: Option<Vec<f32>>,
        forward: Vec<Factors>,
        original: Vec<Factors>,
    ) -> Self {
        Self {
            class,
            run: 0..timesteps.len(),
            timesteps,
            sigmas,
            init_noise_sigma: 1.0,
            input_scale: Vec::new(),
            forward,
            original,
            draws_noise: false,
            calls_per_step: 1,
            next: 0,
        }
    }

    /// A schedule whose latents keep unit variance; `forward` has their factors of picture and noise.
    pub(super) fn variance_preserving(
        class: &'static str,
        timesteps: Vec<f64>,
        sigmas: Option<Vec<f32>>,
        prediction: Prediction,
        forward: Vec<Factors>,
    ) -> Self {
        let original = forward
            .iter()
            .map(|[alpha, sigma]| prediction.original(*alpha, *sigma))
            .collect();
        Self::new(class, timesteps, sigmas, forward, original)
    }

    /// A schedule whose latents are picture plus sigma times noise, which the model sees at unit variance.
    pub(super) fn exploding(
        class: &'static str,
        timesteps: Vec<f64>,
        sigmas: Vec<f32>,
        spacing: Spacing,
        prediction: Prediction,
    ) -> Self {
        let levels = sigmas[..timesteps.len()].to_vec();
        Self::exploding_at(class, timesteps, levels, sigmas, spacing, prediction)
    }

    /// The same with `levels` of its own at every timestep, where `sigmas` are what diffusers lists.
    pub(super) fn exploding_at(
        class: &'static str,
        timesteps: Vec<f64>,
        levels: Vec<f32>,
        sigmas: Vec<f32>,
        spacing: Spacing,
        prediction: Prediction,
    ) -> Self {
        let max = sigmas.iter().copied().reduce(f32::max).unwrap_or(0.0);
        let init_noise_sigma = match spacing {
            Spacing::Leading => (max * max + 1.0).sqrt(),
            Spacing::Linspace | Spacing::Trailing => max,
        };
        let scale = |sigma: &f32| 1.0 / (sigma * sigma + 1.0).sqrt();
        let original = |sigma: &f32| prediction.exploding_original(*sigma);
        let input_scale = levels.iter().map(scale).collect();
        let forward = levels.iter().map(|sigma| [1.0, *sigma]).collect();
        let original = levels.iter().map(original).collect();
        Self {
            init_noise_sigma: init_noise_sigma.into(),
            input_scale,
            ..Self::new(class, timesteps, Some(sigmas), forward, original)
        }
    }

    /// A schedule whose latents lie on the line from picture (sigma 0) to noise (sigma 1), for a model that predicts
    /// its direction.
    pub(super) fn flow_matching(
        class: &'static str,
        timesteps: Vec<f64>,
        sigmas: Vec<f32>,
    ) -> Self {
        let levels = &sigmas[..timesteps.len()];
        let forward = levels.iter().map(|sigma| [1.0 - sigma, *sigma]).collect();
        let original = levels.iter().map(|sigma| [1.0, -sigma]).collect();
        Self::new(class, timesteps, Some(sigmas), forward, original)
    }

    /// A schedule of steps that call the model this often, except the last one, which does so once.
    pub(super) fn calls_per_step(mut self, calls: usize) -> Self {
        self.calls_per_step = calls;
        self
    }

    /// The part of the schedule that the options ask for, with finite factors.
    ///
    /// Ends after a fraction of the training schedule as SDXL's ensemble of experts does, and never within a step.
    pub(super) fn part(
        mut self,
        options: &SchedulerOptions,
        train: usize,
    ) -> Result<Self, SchedulerError> {
        let calls = self.timesteps.len();
        let steps = calls.div_ceil(self.calls_per_step);
        options.check_begin(self.class, steps)?;
        let end = options.denoising_end.unwrap_or(1.0);
        let reached = if end > 0.0 && end < 1.0 {
            let cutoff = (train as f64 - end * train as f64).round_ties_even();
            let starts = self.timesteps.iter().step_by(self.calls_per_step);
            starts.filter(|timestep| **timestep >= cutoff).count()
        } else {
            steps
        };
        let call = |step: usize| (step * self.calls_per_step).min(calls);
        self.run = call(options.begin_at)..call(reached.max(options.begin_at));
        self.next = self.run.start;
        let mut sigmas = self.sigmas.iter().flatten();
        if let Some(step) = sigmas.position(|sigma| !sigma.is_finite()) {
            let class = self.class;
            return Err(SchedulerError::NotFinite { class, step });
        }
        self.require_finite(&self.forward)?;
        self.require_finite(&self.original)?;
        Ok(self)
    }

    /// Number of steps to run.
    pub fn steps(&self) -> usize {
        self.run.len().div_ceil(self.calls_per_step)
    }

    /// The step that a model call is part of, both counted from 0.
    pub fn step_of(&self, call: usize) -> usize {
        call / self.calls_per_step
    }

    /// Number of steps that are finished after this many calls.
    pub fn finished(&self, calls: usize) -> usize {
        match calls < self.run.len() {
            true => calls / self.calls_per_step,
            false => self.steps(),
        }
    }

    /// The timesteps of the calls to make, descending.
    pub fn timesteps(&self) -> &[f64] {
        &self.timesteps[self.run.clone()]
    }

    /// Ratio of noise to signal before every step and after the last, as diffusers lists it: with two calls a step, twice
    /// where two calls meet; `None` for schedulers of cumulative alphas.
    pub fn sigmas(&self) -> Option<&[f32]> {
        self.sigmas
            .as_deref()
            .map(|sigmas| &sigmas[self.run.start..])
    }

    /// Noise levels before and after every step, run or not, with the factors of the clean picture there.
    pub(super) fn levels(&self) -> impl Iterator<Item = ([f32; 2], Factors)> {
        let sigmas = self.sigmas.iter().flat_map(|sigmas| sigmas.windows(2));
        sigmas
            .map(|pair| [pair[0], pair[1]])
            .zip(self.original.iter().copied())
    }

    /// Standard deviation of the noise to start from.
    pub fn init_noise_sigma(&self) -> f64 {
        self.init_noise_sigma
    }

    /// Whether steps draw noise.
    pub fn draws_noise(&self) -> bool {
        self.draws_noise
    }

    /// Takes the step that is due, and gives its place among all timesteps.
    pub(super) fn advance(&mut self, step: usize) -> Result<usize, SchedulerError> {
        let at = self.next;
        if at >= self.run.end || at != self.place(step) {
            return Err(SchedulerError::Order {
                got: step,
                expected: at - self.run.start,
                steps: self.run.len(),
            });
        }
        self.next += 1;
        Ok(at)
    }

    /// Fails at the first step that is run for which a coefficient is infinite or NaN.
    pub(super) fn require_finite<const N: usize>(
        &self,
        steps: &[[f32; N]],
    ) -> Result<(), SchedulerError> {
        let run = steps.get(self.run.clone()).unwrap_or(steps);
        let bad = |step: &[f32; N]| step.iter().any(|coefficient| !coefficient.is_finite());
        match run.iter().position(bad) {
            Some(step) => Err(SchedulerError::NotFinite {
                class: self.class,
                step,
            }),
            None => Ok(()),
        }
    }

    /// The place of a step of the run among all timesteps.
    fn place(&self, step: usize) -> usize {
        self.run.start.saturating_add(step)
    }

    /// See [`super::Scheduler::scale_model_input`].
    pub(super) fn scale_model_input(&self, sample: Tensor<4>, step: usize) -> Tensor<4> {
        match self.input_scale.get(self.place(step)) {
            Some(scale) => sample.mul_scalar(*scale),
            None => sample,
        }
    }

    /// See [`super::Scheduler::denoised`].
    pub(super) fn denoised(
        &self,
        model_output: Tensor<4>,
        step: usize,
        sample: Tensor<4>,
    ) -> Tensor<4> {
        match self.original.get(self.place(step)) {
            Some(factors) => mix(*factors, sample, model_output),
            None => sample,
        }
    }

    /// See [`super::Scheduler::add_noise`].
    pub(super) fn add_noise(
        &self,
        original: Tensor<4>,
        noise: Tensor<4>,
        step: usize,
    ) -> Tensor<4> {
        match self.forward.get(self.place(step)) {
            Some(factors) => mix(*factors, original, noise),
            None => original,
        }
    }
}

/// A weighted sum in single precision, in the dtype of the first tensor.
fn mix([of_first, of_second]: Factors, first: Tensor<4>, second: Tensor<4>) -> Tensor<4> {
    let dtype = first.dtype();
    combine(&[(of_first, &single(first)), (of_second, &single(second))]).cast(dtype)
}
