//! What tells one scheduler from another: its update in single precision. The rest of [`Scheduler`] is the same for all.

use std::fmt;

use burn::tensor::{FloatDType, Tensor};

use super::error::SchedulerError;
use super::schedule::Schedule;
use super::scheduler::{NoiseFn, Scheduler};

/// Gives standard normal noise of the latents' dimensions, in single precision.
pub(super) type FreshNoise<'a> = dyn FnMut() -> Tensor<4> + 'a;

/// A sampling method over a [`Schedule`].
pub(super) trait Solver: fmt::Debug + Send {
    fn schedule(&self) -> &Schedule;

    fn schedule_mut(&mut self) -> &mut Schedule;

    /// The latents after `step`, counted over all of the schedule's. All tensors are in single precision.
    fn update(
        &mut self,
        output: Tensor<4>,
        step: usize,
        sample: Tensor<4>,
        noise: &mut FreshNoise<'_>,
    ) -> Tensor<4>;
}

impl<S: Solver> Scheduler for S {
    fn schedule(&self) -> &Schedule {
        Solver::schedule(self)
    }

    fn step(
        &mut self,
        model_output: Tensor<4>,
        step: usize,
        sample: Tensor<4>,
        noise: &mut NoiseFn<'_>,
    ) -> Result<Tensor<4>, SchedulerError> {
        let at = self.schedule_mut().advance(step)?;
        let (dims, dtype) = (sample.dims(), sample.dtype());
        let single = |tensor: Tensor<4>| tensor.cast(FloatDType::F32);
        let mut fresh = || single(noise(dims));
        let next = self.update(single(model_output), at, single(sample), &mut fresh);
        Ok(next.cast(dtype))
    }
}
