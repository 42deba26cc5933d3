//! How long a generation of full size takes to stop.
//!
//! `CONCEPTROL_SD15=DIR cargo test --release --workspace --test cancel_full_size -- --ignored --nocapture`, with the folder of a
//! model of the size of Stable Diffusion 1.5.

use std::{
    env,
    ops::ControlFlow,
    thread,
    time::{Duration, Instant},
};

use burn::tensor::{Device, Tensor};
use conceptrol_core::{
    Cancel,
    pipeline::{ImageSize, LoadOptions, Observer, Pipeline, PipelineError, Stage, StepReport},
};
use conceptrol_sd::{StableDiffusion, pipeline::Request};

/// Turns the switch some time after a stage began.
struct Switch {
    cancel: Cancel,
    begins: fn(Stage) -> bool,
    after: Duration,
    turned: Option<thread::JoinHandle<Instant>>,
}

impl Observer for Switch {
    fn on_step(&mut self, _: &StepReport<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn on_stage(&mut self, stage: Stage) {
        if (self.begins)(stage) && self.turned.is_none() {
            let (cancel, after) = (self.cancel.clone(), self.after);
            self.turned = Some(thread::spawn(move || {
                thread::sleep(after);
                cancel.cancel();
                Instant::now()
            }));
        }
    }
}

#[test]
#[ignore = "needs CONCEPTROL_SD15, a folder of a model of full size"]
fn within_a_second() {
    let folder = env::var("CONCEPTROL_SD15").expect("CONCEPTROL_SD15 names a folder");
    let pipeline =
        StableDiffusion::open(folder, LoadOptions::new(Device::flex())).expect("a model");
    pipeline.unet().expect("loads");
    pipeline.vae().expect("loads");
    for after in [0.3, 1.0, 2.0, 4.0, 7.0] {
        let after = Duration::from_secs_f64(after);
        let cancel = Cancel::new();
        let mut switch = Switch {
            cancel: cancel.clone(),
            begins: |stage| matches!(stage, Stage::Denoising { .. }),
            after,
            turned: None,
        };
        let request = Request::new("a statue is reading the book")
            .size(ImageSize::square(1024))
            .steps(1)
            .cancel(cancel);
        let error = pipeline
            .generate(&request, &mut switch)
            .expect_err("cancelled");
        report("step", after, switch, &error);

        let cancel = Cancel::new();
        let request = request.cancel(cancel.clone());
        let mut switch = Switch {
            cancel,
            begins: |stage| matches!(stage, Stage::Decoding { .. }),
            after,
            turned: None,
        };
        let latents = Tensor::<4>::ones([1, 4, 128, 128], &Device::flex());
        let error = pipeline
            .pictures(latents, &request, &mut switch)
            .expect_err("cancelled");
        report("decoding", after, switch, &error);
    }
}

fn report(what: &str, after: Duration, switch: Switch, error: &PipelineError) {
    let ended = Instant::now();
    assert!(matches!(error, PipelineError::Cancelled { .. }), "{error}");
    let turned = switch
        .turned
        .expect("the stage began")
        .join()
        .expect("turned");
    let took = ended.saturating_duration_since(turned);
    println!(
        "{what}: {:.3} s, switched after {:.1} s",
        took.as_secs_f64(),
        after.as_secs_f64()
    );
}
