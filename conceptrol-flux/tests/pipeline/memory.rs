//! What would not fit into memory is told before anything is computed.

use std::ops::ControlFlow;

use conceptrol_core::pipeline::{ImageSize, Observer, Pipeline, PipelineError, Stage, StepReport};

use crate::tiny::{flux, request};

/// Must not be told of anything.
#[derive(Debug)]
struct Nothing;

impl Observer for Nothing {
    fn on_step(&mut self, _report: &StepReport<'_>) -> ControlFlow<()> {
        panic!("a step was computed")
    }

    fn on_stage(&mut self, stage: Stage) {
        panic!("{stage}")
    }
}

#[test]
fn too_large_a_batch() {
    let flux = flux();
    let huge = request()
        .size(ImageSize::square(8192))
        .images_per_prompt(64 * 64); // more than any machine has
    for error in [
        flux.check_request(&huge).expect_err("too large"),
        flux.generate(&huge, &mut Nothing).expect_err("too large"),
    ] {
        match error {
            PipelineError::Memory {
                needed,
                available,
                advice,
                ..
            } => {
                assert!(needed > available);
                assert_eq!(
                    advice,
                    "lower width and height, or make fewer pictures at once, or decode in tiles"
                );
            }
            other => panic!("{other}"),
        }
    }
    let most = request().images_per_prompt(usize::MAX);
    assert!(flux.check_request(&most).is_err());
    assert!(flux.check_request(&request()).is_ok());
}
