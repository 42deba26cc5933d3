//! What tells one scheduler from another: its update in single precision. The rest of [`Scheduler`] is the same for all.

use std::fmt;

use burn::tensor::Tensor;

use super::combine::{combine, single};
use super::error::SchedulerError;
use super::prediction::Factors;
use super::schedule::Schedule;
use super::scheduler::{NoiseFn, Scheduler};

/// Gives standard normal noise of the latents' dimensions, in single precision.
pub(super) type FreshNoise<'a> = dyn FnMut() -> Tensor<4> + 'a;

/// A sampling method.
pub(super) trait Solver: fmt::Debug + Send {
    /// The latents after the step at `now`, in single precision.
    fn update(&mut self, now: Point<'_>, noise: &mut FreshNoise<'_>) -> Tensor<4>;
}

/// Where a run stands before an update. The tensors are in single precision.
#[derive(Debug)]
pub(super) struct Point<'a> {
    pub(super) schedule: &'a Schedule,
    /// The step, counted over all of the schedule's.
    pub(super) step: usize,
    pub(super) sample: Tensor<4>,
    pub(super) output: Tensor<4>,
}

impl Point<'_> {
    /// A weighted sum of the sample and the model output.
    pub(super) fn mix(&self, [of_sample, of_output]: Factors) -> Tensor<4> {
        combine(&[(of_sample, &self.sample), (of_output, &self.output)])
    }

    /// The predicted clean picture, within `-clip..=clip`.
    pub(super) fn original(&self, clip: Option<f64>) -> Tensor<4> {
        let original = self.mix(self.schedule.original[self.step]);
        match clip {
            Some(range) => original.clamp(-range, range),
            None => original,
        }
    }
}

/// A sampling method on its way through a schedule: the [`Scheduler`] of each.
#[derive(Debug, Clone)]
pub(super) struct Run<S> {
    pub(super) schedule: Schedule,
    pub(super) solver: S,
}

impl<S: Solver> Scheduler for Run<S> {
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
        let step = self.schedule.advance(step)?;
        let (dims, dtype) = (sample.dims(), sample.dtype());
        let now = Point {
            schedule: &self.schedule,
            step,
            sample: single(sample),
            output: single(model_output),
        };
        let next = self.solver.update(now, &mut || single(noise(dims)));
        Ok(next.cast(dtype))
    }
}
