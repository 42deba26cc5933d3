//! Stopping a generation from outside, wherever it is.

use std::{
    fs, io,
    ops::ControlFlow,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use burn::tensor::FloatDType;
use bytes::Bytes;
use conceptrol_core::{
    Cancel,
    models::weights::Files,
    pipeline::{
        Generation, Observer, Pipeline, PipelineError, Residency, Silent, Stage, StepReport,
    },
};

use crate::tiny::{latents, open, options, request};

const STEPS: Stage = Stage::Denoising { done: 0, total: 2 };

fn stopped_at(outcome: Result<Generation, PipelineError>) -> Stage {
    match outcome.expect_err("cancelled") {
        PipelineError::Cancelled { stage } => stage,
        other => panic!("{other}"),
    }
}

/// Cancels from another thread when a stage begins, or after a step.
#[derive(Debug)]
struct At {
    stage: Option<Stage>,
    step: Option<usize>,
    cancel: Cancel,
}

impl At {
    fn cancel(&self) {
        let cancel = self.cancel.clone();
        let elsewhere = thread::spawn(move || cancel.cancel());
        elsewhere.join().expect("cancelled");
    }
}

impl Observer for At {
    fn on_step(&mut self, report: &StepReport<'_>) -> ControlFlow<()> {
        if self.step == Some(report.step.index) {
            self.cancel();
        }
        ControlFlow::Continue(())
    }

    fn on_stage(&mut self, stage: Stage) {
        if self.stage == Some(stage) {
            self.cancel();
        }
    }
}

#[test]
fn every_stage_can_be_stopped_and_the_pipeline_goes_on() {
    let decoding = |done| Stage::Decoding { done, total: 2 };
    for residency in [Residency::Memory, Residency::WhileUsed] {
        let pipeline = open(1, options().residency(residency));
        let asked = || request(&["statue"]).images_per_prompt(2);
        let expected = latents(&pipeline, &asked());
        for (stage, step, stops) in [
            (Some(Stage::Encoding), None, Stage::Encoding),
            (Some(Stage::Loading), None, Stage::Loading),
            (Some(STEPS), None, STEPS),
            (None, Some(0), Stage::Denoising { done: 1, total: 2 }),
            (None, Some(1), Stage::Denoising { done: 2, total: 2 }),
            (Some(decoding(0)), None, decoding(0)),
            (Some(decoding(1)), None, decoding(1)),
        ] {
            let cancel = Cancel::new();
            let cancelled = asked().cancel(cancel.clone());
            let outcome = pipeline.generate(
                &cancelled,
                &mut At {
                    stage,
                    step,
                    cancel,
                },
            );
            assert_eq!(stopped_at(outcome), stops);
            let again = latents(&pipeline, &asked().cancel(Cancel::new()));
            assert_eq!(again, expected, "after {stops}");
        }
    }
}

#[test]
fn cancelled_before_it_begins_nothing_is_opened() {
    static OPENED: AtomicUsize = AtomicUsize::new(0);
    fn counted(path: &Path) -> io::Result<Bytes> {
        OPENED.fetch_add(1, Ordering::Relaxed);
        fs::read(path).map(Bytes::from)
    }
    let pipeline = open(1, options().files(Files::Mapped(counted)));
    let cancel = Cancel::new();
    cancel.cancel();
    let cancelled = request(&["statue"]).cancel(cancel);
    let outcome = pipeline.generate(&cancelled, &mut Silent);
    assert_eq!(stopped_at(outcome), Stage::Encoding);
    let conditioned = pipeline.condition(&cancelled).expect_err("cancelled");
    assert!(matches!(conditioned, PipelineError::Cancelled { .. }));
    assert_eq!(OPENED.load(Ordering::Relaxed), 0);
}

/// Turned when one of the files is opened, so that a part is loaded by a generation that is cancelled already: the part is
/// kept, so it must be whole.
#[test]
fn what_a_cancelled_generation_loads_serves_the_next() {
    static SWITCH: Mutex<Option<(usize, Cancel)>> = Mutex::new(None);
    fn turning(path: &Path) -> io::Result<Bytes> {
        match &mut *SWITCH.lock().expect("no panic") {
            Some((0, cancel)) => cancel.cancel(),
            Some((left, _)) => *left -= 1,
            None => {}
        }
        fs::read(path).map(Bytes::from)
    }
    // numbers are converted while they are loaded
    let options = || options().dtype(FloatDType::BF16);
    let expected = latents(&open(1, options()), &request(&["statue"]));
    // the adapter, its image encoder, two text encoders, the UNet, the autoencoder
    for file in 0..6 {
        let pipeline = open(1, options().files(Files::Mapped(turning)));
        let cancel = Cancel::new();
        *SWITCH.lock().expect("no panic") = Some((file, cancel.clone()));
        let cancelled = request(&["statue"]).cancel(cancel);
        stopped_at(pipeline.generate(&cancelled, &mut Silent));
        *SWITCH.lock().expect("no panic") = None;
        let again = latents(&pipeline, &request(&["statue"]));
        assert_eq!(again, expected, "cancelled when file {file} was opened");
    }
}
