//! Watching a generation, and stopping it.

use std::ops::ControlFlow;

use burn::tensor::Tensor;

use crate::{
    pipeline::Stage,
    seam::{Session, StepInfo},
};

/// What an observer sees after each step. Tensors stay on the device; reading one waits for it.
#[derive(Debug)]
#[non_exhaustive]
pub struct StepReport<'a> {
    /// The step that was finished, counted over the whole schedule.
    pub step: StepInfo,
    /// Steps that are finished, of those that are run.
    pub done: usize,
    /// Steps that are run: fewer than those of the schedule if it starts from a picture.
    pub total: usize,
    /// Whether the step is finished: not between the two evaluations that some schedulers make of one.
    pub finishes_step: bool,
    /// What the denoiser gave for every row, `[rows, channels, height, width]`, in f32.
    pub model_output: &'a Tensor<4>,
    /// The same after guidance, `[images, channels, height, width]`.
    pub guided: &'a Tensor<4>,
    /// The latents after the step, `[images, channels, height, width]`, in f32.
    pub latents: &'a Tensor<4>,
    /// The clean latents this step stands for, for previews, `[images, channels, height, width]`.
    pub denoised: &'a dyn DenoisedLatents,
    /// The session, with its masks and captures.
    pub session: &'a Session,
}

/// The clean latents of a step, computed only for who asks.
pub trait DenoisedLatents: std::fmt::Debug {
    /// `[images, channels, height, width]`
    fn denoised(&self) -> Tensor<4>;
}

/// Watches a generation. [`ControlFlow::Break`] ends it after the step; to end it sooner, give the request a
/// [`Cancel`](crate::Cancel).
pub trait Observer {
    /// Called after every evaluation of the denoiser and the scheduler's step.
    fn on_step(&mut self, report: &StepReport<'_>) -> ControlFlow<()>;

    /// Called when a stage begins, and after each picture that was decoded.
    fn on_stage(&mut self, stage: Stage) {
        let _ = stage;
    }
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn on_step(&mut self, _report: &StepReport<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

impl<F: FnMut(&StepReport<'_>) -> ControlFlow<()>> Observer for F {
    fn on_step(&mut self, report: &StepReport<'_>) -> ControlFlow<()> {
        self(report)
    }
}
