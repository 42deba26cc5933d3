//! Following a generation: the bar, previews, and Ctrl-C.

use std::{error::Error, ops::ControlFlow};

use conceptrol_core::pipeline::{Observer, Pipeline, Request, Stage, StepReport};
use conceptrol_examples::progress::Steps;

use crate::write::Writer;

/// What follows one generation.
pub(crate) struct Watch<'a, P: Pipeline> {
    pub(crate) pipeline: &'a P,
    pub(crate) request: &'a Request<P::Extra>,
    pub(crate) label: &'static str,
    pub(crate) preview_every: Option<usize>,
    pub(crate) writer: &'a mut Writer,
    pub(crate) steps: Steps,
    /// Why a preview could not be written.
    pub(crate) failed: Option<Box<dyn Error>>,
}

impl<P: Pipeline> Watch<'_, P> {
    fn preview(&mut self, report: &StepReport<'_>) -> Result<(), Box<dyn Error>> {
        let done = report.done;
        let due = self
            .preview_every
            .is_some_and(|every| done.is_multiple_of(every));
        if !due || done == report.total {
            return Ok(());
        }
        let latents = report.denoised.denoised().slice_dim(0, 0..1);
        let silent = &mut |_: &StepReport<'_>| ControlFlow::Continue(());
        let pictures = self.pipeline.pictures(latents, self.request, silent)?;
        let seed = self.request.seed;
        self.writer.preview(self.label, done, seed, &pictures[0])
    }
}

impl<P: Pipeline> Observer for Watch<'_, P> {
    fn on_step(&mut self, report: &StepReport<'_>) -> ControlFlow<()> {
        // reading a value waits for the step, so that the bar tells the truth on every backend
        let _ = report.latents.clone().slice_dim(0, 0..1).max().into_data();
        self.steps.advance();
        match self.preview(report) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.failed = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    fn on_stage(&mut self, stage: Stage) {
        self.steps.stage(stage);
    }
}
