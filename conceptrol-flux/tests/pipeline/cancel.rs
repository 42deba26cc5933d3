//! Stopping a generation from outside, wherever it is.

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use burn::tensor::Tensor;
use conceptrol_core::{
    ArcProcessor, AttentionCall, AttentionContext, AttentionError, AttentionProcessor, Cancel,
    SiteSelector, layer_fn,
    pipeline::{
        Generation, Observer, Pipeline, PipelineError, Residency, Silent, Stage, StepReport,
    },
};
use conceptrol_flux::Flux;

use crate::tiny::{flux, latents, open, options, request};

const FIRST: Stage = Stage::Denoising { done: 0, total: 2 };

fn stopped_at(outcome: Result<Generation, PipelineError>) -> Stage {
    match outcome.expect_err("cancelled") {
        PipelineError::Cancelled { stage } => stage,
        other => panic!("{other}"),
    }
}

/// The same pipeline gives the same picture when nobody cancels.
fn still_works(flux: &Flux, expected: &[f32]) {
    assert_eq!(latents(flux, &request().cancel(Cancel::new())), expected);
}

/// Cancels when a stage begins.
#[derive(Debug)]
struct At {
    stage: Stage,
    cancel: Cancel,
}

impl Observer for At {
    fn on_step(&mut self, _report: &StepReport<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn on_stage(&mut self, stage: Stage) {
        if stage == self.stage {
            let cancel = self.cancel.clone();
            let elsewhere = thread::spawn(move || cancel.cancel());
            elsewhere.join().expect("cancelled");
        }
    }
}

#[test]
fn every_stage_can_be_stopped() {
    let flux = flux();
    let expected = latents(&flux, &request());
    for (stage, stops) in [
        (Stage::Encoding, Stage::Encoding),
        (Stage::Loading, Stage::Loading),
        (FIRST, FIRST),
        (
            Stage::Decoding { done: 0, total: 2 },
            Stage::Decoding { done: 0, total: 2 },
        ),
        (
            Stage::Decoding { done: 1, total: 2 },
            Stage::Decoding { done: 1, total: 2 },
        ),
    ] {
        let cancel = Cancel::new();
        let request = request().images_per_prompt(2).cancel(cancel.clone());
        let outcome = flux.generate(&request, &mut At { stage, cancel });
        assert_eq!(stopped_at(outcome), stops);
        still_works(&flux, &expected);
    }
}

#[test]
fn cancelled_before_it_begins() {
    let flux = flux();
    let cancel = Cancel::new();
    cancel.cancel();
    let request = request().cancel(cancel);
    let mut steps = 0;
    let outcome = flux.generate(&request, &mut |_: &StepReport<'_>| {
        steps += 1;
        ControlFlow::Continue(())
    });
    assert_eq!((stopped_at(outcome), steps), (Stage::Encoding, 0));
    let conditioned = flux.condition(&request).expect_err("cancelled");
    assert!(matches!(conditioned, PipelineError::Cancelled { .. }));
}

#[test]
fn the_observer_of_a_step_can_cancel() {
    let flux = flux();
    let cancel = Cancel::new();
    let request = request().steps(4).cancel(cancel.clone());
    let outcome = flux.generate(&request, &mut |report: &StepReport<'_>| {
        if report.step.index == 1 {
            cancel.cancel();
        }
        ControlFlow::Continue(())
    });
    assert_eq!(stopped_at(outcome), Stage::Denoising { done: 2, total: 4 });
}

/// Cancels at the `at`-th call, from another thread.
#[derive(Debug)]
struct Cancelling {
    calls: Arc<AtomicUsize>,
    at: usize,
    cancel: Cancel,
    inner: ArcProcessor,
}

impl AttentionProcessor for Cancelling {
    fn attend(
        &self,
        call: AttentionCall,
        cx: &mut AttentionContext<'_>,
    ) -> Result<Tensor<4>, AttentionError> {
        if self.calls.fetch_add(1, Ordering::Relaxed) + 1 == self.at {
            let cancel = self.cancel.clone();
            thread::spawn(move || cancel.cancel())
                .join()
                .expect("cancelled");
        }
        self.inner.attend(call, cx)
    }
}

#[test]
fn in_the_middle_of_a_step_no_further_site_is_computed() {
    for residency in [Residency::Memory, Residency::Disk] {
        stopped_in_the_middle(&open(options().residency(residency)));
    }
}

fn stopped_in_the_middle(flux: &Flux) {
    let expected = latents(flux, &request());
    let sites = flux.attention_sites().len();
    let at = sites + 3; // the third site of the second step
    let (calls, cancel) = (Arc::new(AtomicUsize::new(0)), Cancel::new());
    let request = request().cancel(cancel.clone());
    let layer = {
        let calls = Arc::clone(&calls);
        layer_fn(move |_site, inner| Cancelling {
            calls: Arc::clone(&calls),
            at,
            cancel: cancel.clone(),
            inner,
        })
    };
    let plan = flux
        .plan_around(&request, SiteSelector::all(), layer)
        .expect("a plan");
    let outcome = flux.generate_with(&plan, &request, &mut Silent);
    assert_eq!(stopped_at(outcome), Stage::Denoising { done: 1, total: 2 });
    assert_eq!(calls.load(Ordering::Relaxed), at);
    still_works(flux, &expected);
}
