//! What is recorded of every step of a generation, and what every family compares.

use std::ops::ControlFlow;

use burn::tensor::Tensor;
use conceptrol_core::{
    AttentionPlan, Session,
    pipeline::{Conditioning, Pipeline, Request, StepReport},
};

use crate::{
    Outcome,
    case::{Array, Arrays, array},
    report::Report,
};

/// Latents in the layout of the golden values.
pub(crate) type Layout = fn(Tensor<4>) -> Array;

/// Runs the loop and compares every step; the latents at its end.
pub(crate) fn run<P: Pipeline>(
    pipeline: &P,
    plan: &AttentionPlan,
    request: &Request<P::Extra>,
    conditioning: &Conditioning<P::Encoded>,
    layout: Layout,
    expected: &Arrays,
    report: &mut Report,
) -> Result<(Tensor<4>, Session), Box<dyn std::error::Error>> {
    let scheduler = pipeline.scheduler(request)?;
    let mut trace = Trace {
        latents: layout(conditioning.first_latents(&*scheduler)).values,
        ..Trace::default()
    };
    let end = pipeline.denoise(plan, request, conditioning, &mut |step: &StepReport<'_>| {
        trace.record(step, layout);
        ControlFlow::Continue(())
    })?;
    trace.compare(expected, report);
    #[expect(clippy::cast_possible_truncation, reason = "the golden values are f32")]
    let timesteps = scheduler
        .timesteps()
        .iter()
        .map(|timestep| *timestep as f32);
    report.values("timesteps", timesteps.collect(), expected);
    // those of the whole schedule
    let mut whole = request.clone();
    whole.start = None;
    if let Some(sigmas) = pipeline.scheduler(&whole)?.sigmas() {
        report.values("sigmas", sigmas.to_vec(), expected);
    }
    Ok(end)
}

/// The picture of the latents, before and after rounding to 8 bits.
pub(crate) fn compare_picture<P: Pipeline>(
    pipeline: &P,
    latents: Tensor<4>,
    expected: &Arrays,
    report: &mut Report,
) -> Outcome {
    let decoded = pipeline.decode(latents, None)?;
    report.tensor("image_raw", decoded.clone(), &expected["image_raw"]);
    if let Some(wanted) = expected.get("image_u8") {
        let pictures = conceptrol_core::models::image::tensor_to_images(decoded);
        let bytes = pictures.iter().flat_map(|picture| picture.as_raw().iter());
        let values = Array {
            shape: wanted.shape.clone(),
            values: bytes.map(|byte| f32::from(*byte)).collect(),
        };
        report.within("image_u8", &values, wanted, 1.0);
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Trace {
    noise_pred: Vec<f32>,
    /// The unconditional and the conditional half of what guidance mixes.
    halves: [Vec<f32>; 2],
    latents: Vec<f32>,
    masks: Vec<f32>,
    first: Option<Array>,
    last: Option<Array>,
}

impl Trace {
    fn record(&mut self, step: &StepReport<'_>, layout: Layout) {
        self.noise_pred.extend(layout(step.guided.clone()).values);
        let batch = step.session.batch();
        if batch.guided {
            let rows = [0..batch.images, batch.conditional()];
            for (half, rows) in self.halves.iter_mut().zip(rows) {
                let output = step.model_output.clone().slice_dim(0, rows);
                half.extend(layout(output).values);
            }
        }
        self.latents.extend(layout(step.latents.clone()).values);
        let board = step.session.board();
        let masks = (0..step.session.concepts().len()).filter_map(|index| board.latest(index));
        (self.masks).extend(masks.flat_map(|mask| array(mask.values().clone()).values));
        let output = array(step.model_output.clone());
        self.first.get_or_insert_with(|| output.clone());
        self.last = Some(output);
    }

    fn compare(self, expected: &Arrays, report: &mut Report) {
        let mut compare = |name: &str, values: Vec<f32>| report.values(name, values, expected);
        let values = |output: Option<Array>| output.map(|output| output.values).unwrap_or_default();
        compare("unet_out_first", values(self.first));
        compare("unet_out_last", values(self.last));
        compare("noise_pred", self.noise_pred);
        let [unconditional, conditional] = self.halves;
        compare("noise_pred_uncond", unconditional);
        compare("noise_pred_cond", conditional);
        compare("latents", self.latents);
        compare("global_masks", self.masks);
    }
}
