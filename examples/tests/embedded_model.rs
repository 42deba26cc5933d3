//! The embedded model through the whole pipeline: determinism, equivalences, bad requests.

mod common;

use std::{ops::ControlFlow, path::PathBuf};

use burn::tensor::{Device, Tensor};
use conceptrol_core::{
    BatchLayout, Grid, Occurrence, StepWindow,
    mask::{ConceptMask, Fixed},
    message::chain,
    models::image,
    pipeline::{
        ConceptPlace, ConceptRequest, ImageSize, LoadOptions, Mode, Pipeline, PipelineError,
        Silent, Stage, Start, StepReport, Words,
    },
};
use conceptrol_sd::{StableDiffusion, pipeline::Request};

use common::{golden::Golden, max_difference};

fn assets() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("assets")
}

fn pipeline() -> StableDiffusion {
    pipeline_with("ip-adapter.safetensors")
}

fn pipeline_with(adapter: &str) -> StableDiffusion {
    let model = assets().join("tiny-sd");
    let adapter = (model.join(adapter), model.join("image_encoder"));
    let options = LoadOptions::new(Device::flex()).adapter(adapter);
    StableDiffusion::open(&model, options).expect("the embedded model opens")
}

fn request() -> Request {
    let rocket = image::open(assets().join("tiny-sd/references/green_rocket.png"))
        .expect("a committed picture");
    Request::new("an apple and a rocket on the beach")
        .concept(ConceptRequest::new("rocket", rocket))
        .steps(4)
        .seed(1)
}

fn latents(pipeline: &StableDiffusion, request: &Request) -> Vec<f32> {
    let generation = pipeline
        .generate(request, &mut Silent)
        .expect("a valid request");
    generation.latents.into_data().try_to_vec().expect("f32")
}

/// Text only, the base adapter and the plus adapter are what diffusers makes of the same files.
#[test]
fn latents_are_those_of_diffusers() {
    let golden = Golden::open("tiny_sd.safetensors");
    let request = Request::new(golden.said("prompt"))
        .concept(ConceptRequest::new("rocket", golden.picture()))
        .window(StepWindow::after_warmup(0.0).expect("valid"))
        .seed(golden.number("seed"))
        .steps(golden.number("steps"))
        .guidance_scale(golden.number("guidance"));
    for (mode, adapter, name) in [
        (Mode::TextOnly, "ip-adapter.safetensors", "text_only"),
        (Mode::Adapter, "ip-adapter.safetensors", "base"),
        (Mode::Adapter, "ip-adapter-plus.safetensors", "plus"),
    ] {
        let found = latents(&pipeline_with(adapter), &request.clone().mode(mode));
        let expected = golden.latents(name);
        let largest = expected.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        let difference = max_difference(&found, &expected) / largest;
        // The golden latents are exact (a UNet in f64). PyTorch's in f32 are up to 3e-6 of the largest away from them after these guided steps, ours
        // 7.3e-6 with AVX2, and from processor to processor as much again.
        assert!(difference < 2e-5, "{name}: {difference:e} of {largest}");
    }
}

#[test]
fn the_same_seed_gives_the_same_picture() {
    let pipeline = pipeline();
    let first = latents(&pipeline, &request());
    assert_eq!(
        first,
        latents(&pipeline, &request()),
        "nothing leaks from one generation into the next"
    );
    assert_ne!(first, latents(&pipeline, &request().seed(2)));
    assert_eq!(
        first,
        latents(&self::pipeline(), &request()),
        "nor does loading again change it"
    );
}

/// Run by the test below with another number of threads.
#[test]
#[ignore = "prints what `one_thread_gives_the_picture_of_two` compares"]
fn print_latents() {
    let bits: Vec<String> = latents(&pipeline(), &request())
        .iter()
        .map(|value| format!("{:08x}", value.to_bits()))
        .collect();
    println!("LATENTS {}", bits.concat());
}

#[test]
fn one_thread_gives_the_picture_of_two() {
    let on_threads = |threads: &str| {
        let this = std::env::current_exe().expect("the test binary");
        let run = std::process::Command::new(this)
            .args(["--exact", "print_latents", "--ignored", "--nocapture"])
            .env("RAYON_NUM_THREADS", threads)
            .output()
            .expect("the test binary runs");
        let output = String::from_utf8(run.stdout).expect("text");
        let latents = output
            .split_once("LATENTS ")
            .expect("printed")
            .1
            .lines()
            .next()
            .expect("a line");
        assert!(latents.len() > 1000, "all latents are printed");
        latents.to_owned()
    };
    assert_eq!(on_threads("1"), on_threads("2"), "bit for bit");
}

#[test]
fn strength_zero_is_text_only() {
    let pipeline = pipeline();
    let text_only = latents(&pipeline, &request().mode(Mode::TextOnly));
    assert_eq!(latents(&pipeline, &request().scale(0.0)), text_only);
    let never = StepWindow::new(1.0, 1.0).expect("valid");
    assert_eq!(latents(&pipeline, &request().window(never)), text_only);
    assert_ne!(latents(&pipeline, &request()), text_only);
}

#[test]
fn a_gate_of_ones_is_the_plain_adapter() {
    let pipeline = pipeline();
    let plain = latents(&pipeline, &request().mode(Mode::Adapter));
    let grid = Grid::new(16, 16);
    let ones = ConceptMask::new(Tensor::ones([1, grid.cells()], &Device::flex()), grid)
        .expect("256 cells");
    let mut gated = request().mask_source(Fixed::required());
    gated.concepts[0].mask = Some(ones);
    let difference = max_difference(&latents(&pipeline, &gated), &plain);
    // a product with 1.0 is exact; averaging ones to a smaller grid may round
    assert!(difference < 1e-4, "differs by {difference}");
}

#[test]
fn a_picture_does_not_depend_on_its_batch() {
    let pipeline = pipeline();
    let three = latents(&pipeline, &request().images_per_prompt(3));
    for (index, together) in three.chunks_exact(three.len() / 3).enumerate() {
        let alone = latents(&pipeline, &request().seed(1 + index as u64));
        assert!(together == alone, "picture {index} of 3, bit for bit");
    }
}

#[test]
fn two_prompts_have_their_own_words() {
    let pipeline = pipeline();
    let both = request().prompt("a rocket in a white room");
    let generation = pipeline
        .generate(&both, &mut Silent)
        .expect("a valid request");
    assert_eq!(generation.images.len(), 2);
    let spans: Vec<_> = generation
        .located
        .iter()
        .map(|located| located[0].spans[0].range())
        .collect();
    assert_eq!(spans, [5..6, 2..3]);
    let mut second = request().seed(2);
    second.prompts = vec!["a rocket in a white room".into()];
    let alone = latents(&pipeline, &second);
    let together: Vec<f32> = generation.latents.into_data().try_to_vec().expect("f32");
    assert!(
        together[alone.len()..] == alone,
        "the second prompt's picture is that of the prompt alone, bit for bit"
    );
}

#[test]
fn guidance_off_and_other_shapes_work() {
    let pipeline = pipeline();
    let wide = request().guidance_scale(1.0).size(ImageSize::new(40, 96));
    let generation = pipeline
        .generate(&wide, &mut Silent)
        .expect("a valid request");
    assert_eq!(generation.images[0].dimensions(), (96, 40));
    assert_eq!(
        pipeline.condition(&wide).expect("valid").batch,
        BatchLayout::unguided(1)
    );
}

#[test]
fn masks_are_those_of_the_named_block() {
    let pipeline = pipeline();
    let mut grids = Vec::new();
    pipeline
        .generate(&request(), &mut |report: &StepReport<'_>| {
            let mask = report
                .session
                .board()
                .latest(0)
                .expect("published in every step");
            let stamp = mask.stamp().expect("read from attention");
            let site = pipeline
                .attention_sites()
                .get(stamp.site)
                .expect("a site of the model");
            assert_eq!(
                site.name, "up_blocks.2.attentions.0.transformer_blocks.0.attn2",
                "the block that conceptrol.json names"
            );
            assert_eq!(stamp.step, report.step.index);
            grids.push(mask.grid());
            ControlFlow::Continue(())
        })
        .expect("a valid request");
    assert_eq!(grids, [Grid::new(16, 16); 4]);
}

#[test]
fn an_observer_can_cancel() {
    let cancelled = pipeline().generate(&request(), &mut |report: &StepReport<'_>| {
        if report.step.index == 1 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert!(matches!(
        cancelled,
        Err(PipelineError::Cancelled {
            stage: Stage::Denoising { done: 2, total: 4 }
        })
    ));
}

#[test]
fn bad_requests_are_clear_errors() {
    let pipeline = pipeline();
    let fails = |change: &dyn Fn(&mut Request)| {
        let mut request = request();
        change(&mut request);
        let error = pipeline.generate(&request, &mut Silent);
        chain(&error.expect_err("a bad request"))
    };
    assert_eq!(
        fails(&|r| r.scale = f32::NAN),
        "the scale is NaN, it must be finite"
    );
    assert_eq!(
        fails(&|r| r.concepts[0].scale = f32::INFINITY),
        "the scale of a concept is inf, it must be finite"
    );
    assert_eq!(
        fails(&|r| r.guidance.scale = Some(f64::NAN)),
        "the guidance scale is NaN, it must be finite"
    );
    assert_eq!(
        fails(&|r| r.images_per_prompt = 0),
        "the number of images is 0, it must be at least 1"
    );
    assert_eq!(
        fails(&|r| r.prompts.clear()),
        "the number of prompts is 0, it must be at least 1"
    );
    assert_eq!(
        fails(&|r| r.size = Some(ImageSize::new(64, 66))),
        "the width is 66, it must be a multiple of 4 between 4 and 16384"
    );
    assert_eq!(
        fails(&|r| r.steps = Some(0)),
        "DPMSolverMultistepScheduler cannot run 0 steps, the number must lie in 1..=999"
    );
    assert_eq!(
        fails(&|r| r.concepts[0].image = None),
        "concept `rocket` has no reference picture"
    );
    assert_eq!(
        fails(&|r| r.concepts[0].adapter = 3),
        "the adapter of a concept is 3, it must be below the 1 that are loaded"
    );
    let missing = fails(&|r| r.concepts[0].name = "elephant".into());
    assert!(
        missing.contains("elephant") && missing.contains("rocket"),
        "lists the prompt's tokens: {missing}"
    );
    let overlap = fails(&|r| {
        let mut other = r.concepts[0].clone();
        other.words = Words::Tokens(5..7);
        other.name = "again".into();
        r.concepts.push(other);
    });
    assert!(
        overlap.contains("rocket") && overlap.contains("again"),
        "{overlap}"
    );
    let second = fails(&|r| r.concepts[0].words = Words::Named(Occurrence::Nth(1)));
    assert!(second.contains("rocket"), "{second}");
    assert!(StepWindow::after_warmup(1.5).is_err() && StepWindow::after_warmup(f64::NAN).is_err());

    let no_adapter =
        StableDiffusion::open(assets().join("tiny-sd"), LoadOptions::new(Device::flex()))
            .expect("opens");
    let error = no_adapter
        .generate(&request(), &mut Silent)
        .expect_err("no adapter");
    assert_eq!(
        error.to_string(),
        "concept `rocket` needs an adapter, and none is loaded"
    );
}

#[test]
fn a_folder_of_another_family_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(
        folder.path().join("model_index.json"),
        r#"{"_class_name": "FluxPipeline"}"#,
    )
    .expect("written");
    let error = StableDiffusion::open(folder.path(), LoadOptions::new(Device::flex()))
        .expect_err("another family");
    assert!(
        error
            .to_string()
            .contains("a FluxPipeline, expected StableDiffusionPipeline or"),
        "{error}"
    );
    let error = StableDiffusion::open("no/such/folder", LoadOptions::new(Device::flex()))
        .expect_err("no folder");
    assert!(
        error
            .to_string()
            .starts_with("no/such/folder: there is no such file or folder"),
        "{error}"
    );
}

/// A scene with its caption, and the mask of its first object.
fn scene(index: usize) -> (image::RgbImage, String, String, Vec<bool>) {
    let folder = assets().join("world/scenes");
    let lines = std::fs::read_to_string(folder.join("scenes.jsonl")).expect("scenes");
    let line = lines.lines().nth(index).expect("a scene");
    let scene: serde_json::Value = serde_json::from_str(line).expect("json");
    let text = |value: &serde_json::Value| value.as_str().expect("a string").to_owned();
    let open = |name: &serde_json::Value| image::open(folder.join(text(name))).expect("a picture");
    let object = &scene["objects"][0];
    let mask = open(&object["mask"])
        .pixels()
        .map(|pixel| pixel.0[0] > 127)
        .collect();
    (
        open(&scene["image"]),
        text(&scene["caption"]),
        text(&object["phrase"]),
        mask,
    )
}

#[test]
fn a_concept_is_found_in_a_picture_and_only_there_it_changes() {
    let pipeline = pipeline();
    let mut overlaps = Vec::new();
    for index in 0..8 {
        let (picture, caption, phrase, truth) = scene(index);
        let place = ConceptPlace::of(&phrase).grow(0);
        let start = Start::new(picture).repaint(place);
        let request = Request::new(caption).steps(3).seed(1).start(start);
        let generation = pipeline.generate(&request, &mut Silent).expect("a picture");
        let region = generation.region.expect("found");
        let found = region.values.iter().map(|value| *value == 1.0);
        let pairs = || found.clone().zip(&truth);
        let both = pairs().filter(|(found, truth)| *found && **truth).count();
        let any = pairs().filter(|(found, truth)| *found || **truth).count();
        overlaps.push(both as f64 / any as f64);

        let conditioning = pipeline.condition(&request).expect("a picture");
        let start = conditioning.start.expect("a picture");
        let before: Vec<f32> = (start.picture.expect("latents").into_data())
            .try_to_vec()
            .expect("f32");
        let cells: Vec<f32> = (start.cells.expect("a region").into_data())
            .try_to_vec()
            .expect("f32");
        let after: Vec<f32> = generation.latents.into_data().try_to_vec().expect("f32");
        for (at, (before, after)) in before.iter().zip(&after).enumerate() {
            let inside = cells[at % cells.len()] == 1.0;
            assert_eq!(
                before != after,
                inside,
                "{phrase} of scene {index}, number {at}"
            );
        }
    }
    // 0.64 over 60 scenes; a box around the object has about 0.7, the whole picture 0.1
    let mean = overlaps.iter().sum::<f64>() / overlaps.len() as f64;
    assert!(mean > 0.5, "{mean}: {overlaps:?}");
}
