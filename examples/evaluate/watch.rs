//! Progress over units of work, with an estimate of the end.

use std::ops::ControlFlow;

use conceptrol_core::pipeline::{Observer, Stage, StepReport};
use indicatif::{ProgressBar, ProgressStyle};

/// A bar over the units of a command.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    what: String,
}

impl Progress {
    /// `done` of `total` units are there already.
    pub(crate) fn new(command: &str, done: usize, total: usize) -> Self {
        let bar = ProgressBar::new(total as u64);
        let template =
            format!("{command:<10} {{bar:24}} {{pos:>4}}/{{len}} eta {{eta_precise}} {{msg}}");
        let style = ProgressStyle::with_template(&template);
        bar.set_style(style.expect("the template is valid"));
        bar.set_position(done as u64);
        bar.reset_eta();
        Self {
            bar,
            what: String::new(),
        }
    }

    /// What is computed now.
    pub(crate) fn begin(&mut self, what: impl Into<String>) {
        self.what = what.into();
        self.bar.set_message(self.what.clone());
    }

    /// A unit is finished.
    pub(crate) fn advance(&self) {
        self.bar.inc(1);
    }

    pub(crate) fn finish(self) {
        self.bar.finish_with_message("");
    }
}

impl Observer for Progress {
    fn on_step(&mut self, report: &StepReport<'_>) -> ControlFlow<()> {
        let (done, total) = (report.done, report.total);
        self.bar
            .set_message(format!("{}, step {done}/{total}", self.what));
        ControlFlow::Continue(())
    }

    fn on_stage(&mut self, _stage: Stage) {
        self.bar.set_message(self.what.clone());
    }
}
