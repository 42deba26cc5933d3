//! Watching a generation: steps, previews, captured maps.

use std::ops::ControlFlow;

use conceptrol_core::{
    SiteSelector,
    models::image::tensor_to_images,
    pipeline::{Family, Observer, Pipeline, PipelineError, Silent, Stage, StepReport},
    processors::CaptureLayer,
};

use crate::tiny::{flux, generate, generate_with, numbers, one_concept, request};

/// Notes what it is told.
#[derive(Debug, Default)]
struct Notes {
    stages: Vec<Stage>,
    steps: Vec<usize>,
    previews: Vec<Vec<f32>>,
}

impl Observer for Notes {
    fn on_step(&mut self, report: &StepReport<'_>) -> ControlFlow<()> {
        self.steps.push(report.step.index);
        let denoised = report.denoised.denoised();
        assert_eq!(denoised.dims(), report.latents.dims());
        assert_eq!(report.model_output.dims(), report.guided.dims());
        let denoised = denoised.into_data().try_to_vec();
        self.previews.push(denoised.expect("f32"));
        ControlFlow::Continue(())
    }

    fn on_stage(&mut self, stage: Stage) {
        self.stages.push(stage);
    }
}

#[test]
fn an_observer_sees_every_stage_and_step() {
    let flux = flux();
    let mut notes = Notes::default();
    let request = request().images_per_prompt(2);
    let generation = flux.generate(&request, &mut notes).expect("pictures");
    let decoding = |done| Stage::Decoding { done, total: 2 };
    let expected = [
        Stage::Encoding,
        Stage::Loading,
        Stage::Denoising { done: 0, total: 2 },
        decoding(0),
        decoding(1),
    ];
    assert_eq!(notes.stages, expected);
    assert_eq!(notes.steps, [0, 1]);
    let unwatched = generate(&flux, &request);
    assert_eq!(numbers(&generation), numbers(&unwatched));
}

#[test]
fn previews_come_nearer_to_the_picture() {
    let flux = flux();
    let request = request().steps(4);
    let mut previews = Vec::new();
    let mut observer = |report: &StepReport<'_>| {
        let decoded = flux.decode(report.denoised.denoised(), None);
        previews.extend(tensor_to_images(decoded.expect("a preview")));
        ControlFlow::Continue(())
    };
    let generation = flux.generate(&request, &mut observer).expect("a picture");
    let last = &generation.images[0];
    let distance = |preview: &image::RgbImage| -> u64 {
        assert_eq!(preview.dimensions(), last.dimensions());
        let pairs = preview.as_raw().iter().zip(last.as_raw());
        pairs.map(|(a, b)| u64::from(a.abs_diff(*b))).sum()
    };
    let distances: Vec<u64> = previews.iter().map(distance).collect();
    let first = distances[..2].iter().min().expect("two of them");
    assert!(distances[2] < *first, "{distances:?}");
    // the last step ends without noise: what it stands for is the picture, but for roundings
    assert!(
        distances[3] < last.as_raw().len() as u64 / 100,
        "{distances:?}"
    );
}

#[test]
fn an_observer_can_stop() {
    let flux = flux();
    let stopped = flux.generate(&request().steps(4), &mut |report: &StepReport<'_>| {
        if report.step.index == 1 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    let stage = Stage::Denoising { done: 2, total: 4 };
    match stopped.expect_err("stopped") {
        PipelineError::Cancelled { stage: at } => assert_eq!(at, stage),
        other => panic!("{other}"),
    }
}

#[test]
fn capturing_maps_changes_no_number() {
    let flux = flux();
    let request = request();
    let sites = SiteSelector::under("single_transformer_blocks");
    let captured = sites.resolve(flux.attention_sites()).expect("sites").len();
    let plan = flux.plan_around(&request, sites, CaptureLayer::new());
    let generation = generate_with(&flux, &plan.expect("a plan"), &request);
    assert_eq!(numbers(&generation), numbers(&generate(&flux, &request)));
    let maps: Vec<_> = generation.captures.iter().collect();
    assert_eq!(maps.len(), 2 * captured * 2, "steps x sites x concepts");
    assert_eq!(generation.captures.dropped(), 0);
    for capture in maps {
        let stamp = capture.map.stamp().expect("read from attention");
        let name = &flux.attention_sites().get(stamp.site).expect("a site").name;
        assert!(name.starts_with("single_transformer_blocks."), "{name}");
        let values = capture
            .map
            .values()
            .to_data()
            .try_to_vec::<f32>()
            .expect("f32");
        assert!(
            values.iter().all(|x| (0.0..=1.0).contains(x)),
            "probabilities"
        );
    }
}

/// What Conceptrol publishes is what a capture sees at the concept block.
#[test]
fn the_captured_map_of_the_concept_block_is_the_mask() {
    let flux = flux();
    let request = one_concept();
    let block = SiteSelector::named("transformer_blocks.2.attn");
    let plan = flux.plan_around(&request, block, CaptureLayer::new());
    let plan = plan.expect("a plan");
    let generation = flux
        .generate_with(&plan, &request, &mut Silent)
        .expect("a picture");
    let map = generation
        .captures
        .iter()
        .last()
        .expect("captured")
        .map
        .clone();
    let mask = generation.masks[0].as_ref().expect("published");
    assert_eq!(map.stamp(), mask.stamp());
    let map = map.normalized(conceptrol_core::mask::MaskNorm::Mean);
    assert_eq!(map.values().to_data(), mask.values().to_data());
}
