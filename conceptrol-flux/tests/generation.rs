//! The whole pipeline against the authors' code, for the cases of a larger fixture set.
//!
//! `CONCEPTROL_FIXTURES=DIR cargo test --release -p conceptrol-flux --test generation`, with the folder that holds `flux_*`.

mod common;

use std::ops::ControlFlow;

use burn::tensor::{FloatDType, Tensor};
use common::{Case, fixtures};
use conceptrol_core::pipeline::Fidelity;
use conceptrol_core::{AttentionPlan, ConditionSchedule, StepWindow};
use conceptrol_flux::latents::{token_grid, unpack};
use conceptrol_flux::load::{FluxFolder, Residency};
use conceptrol_flux::omini::Placement;
use conceptrol_flux::pipeline::{
    ConceptRequest, FluxPipeline, FluxRequest, concept_block, conceptrol_plan, ominicontrol_plan,
};

fn request(case: &Case) -> FluxRequest {
    let params = &case.json["params"];
    let size = |name: &str| params[name].as_u64().expect("a size") as usize;
    let number = |name: &str| params[name].as_f64().expect("a number");
    let concepts = params["subjects"].as_array().expect("subjects").iter();
    let pictures = params["images"].as_array().expect("images").iter();
    let concepts = concepts.zip(pictures).map(|(words, picture)| {
        let path = fixtures().join(picture.as_str().expect("a path"));
        let picture = conceptrol_core::models::image::open(path).expect("a picture");
        ConceptRequest::new(words.as_str().expect("words"), picture)
    });
    let window = StepWindow::new(
        number("control_guidance_start"),
        number("control_guidance_end"),
    );
    FluxRequest {
        concepts: concepts.collect(),
        height: size("height"),
        width: size("width"),
        steps: size("num_inference_steps"),
        guidance: number("guidance_scale") as f32,
        seeds: vec![number("seed") as u64],
        condition: ConditionSchedule::new(
            number("condition_scale") as f32,
            window.expect("a window"),
        )
        .outside(0.5),
        text_tokens: size("max_sequence_length"),
        fidelity: Fidelity::Authors,
        ..FluxRequest::new(params["prompt"].as_str().expect("a prompt"))
    }
}

fn plan(case: &Case, pipeline: &FluxPipeline) -> AttentionPlan {
    let params = &case.json["params"];
    let config = pipeline.config();
    if params["method"] == "ominicontrol" {
        return ominicontrol_plan(config).expect("a plan");
    }
    let once = params["NUM_BLOCKS"].as_u64() != Some(config.num_layers as u64);
    let fidelity = if once {
        Fidelity::Paper
    } else {
        Fidelity::Authors
    };
    println!("{:?}", concept_block(config, fidelity));
    conceptrol_plan(config, fidelity).expect("a plan")
}

fn check(name: &str, residency: Residency) {
    let Some(case) = Case::find(name) else { return };
    let folder =
        FluxFolder::open(case.file("model"), &case.device, FloatDType::F32).expect("a folder");
    let mut pipeline = FluxPipeline::load(folder, residency).expect("a model");
    let summary = pipeline
        .load_condition_adapter(case.file("lora"), Placement::RightOfPicture)
        .expect("an adapter");
    assert_eq!(summary.ranks, (4, 4));
    let request = request(&case);

    let prompt = pipeline
        .encode_prompt(&request.prompt, request.text_tokens)
        .expect("a prompt");
    case.check("prompt_embeds", prompt.text);
    case.check("pooled_prompt_embeds", prompt.pooled);

    let (mut velocities, mut latents) = (Vec::new(), Vec::new());
    let plan = plan(&case, &pipeline);
    let mut observer = |progress: conceptrol_flux::pipeline::Progress<'_>| {
        velocities.push(progress.velocity.clone());
        latents.push(progress.latents.clone());
        ControlFlow::Continue(())
    };
    let generated = pipeline
        .generate(&request, &plan, &mut observer)
        .expect("a picture");
    case.check("noise_pred", Tensor::cat(velocities, 0));
    let expected: Tensor<3> = case.expected("latents");
    let steps = latents.len();
    case.check_against(
        "latents",
        Tensor::cat(latents, 0),
        expected.narrow(0, 1, steps),
    );
    let grid = token_grid(request.height, request.width).expect("a size");
    // The autoencoder's input is the last latents without scale and shift.
    let vae_in = unpack(generated.latents, grid)
        .div_scalar(0.3611)
        .add_scalar(0.1159);
    case.check("vae_in", vae_in);
    case.check("image_raw", generated.pictures);
}

#[test]
#[ignore = "needs CONCEPTROL_FIXTURES, a folder of whole models; the example parity runs the same cases"]
fn schnell_conceptrol() {
    check("flux_schnell_conceptrol", Residency::Memory);
}

#[test]
#[ignore = "needs CONCEPTROL_FIXTURES, a folder of whole models; the example parity runs the same cases"]
fn schnell_conceptrol_with_one_refresh_a_step() {
    check("flux_schnell_conceptrol_once_per_step", Residency::Memory);
}

#[test]
#[ignore = "needs CONCEPTROL_FIXTURES, a folder of whole models; the example parity runs the same cases"]
fn schnell_ominicontrol() {
    check("flux_schnell_ominicontrol", Residency::Memory);
}

#[test]
#[ignore = "needs CONCEPTROL_FIXTURES, a folder of whole models; the example parity runs the same cases"]
fn dev_conceptrol_with_warm_up() {
    check("flux_dev_conceptrol_w025_s07", Residency::Memory);
}

#[test]
#[ignore = "needs CONCEPTROL_FIXTURES, a folder of whole models; the example parity runs the same cases"]
fn blocks_from_disk_give_the_same() {
    check("flux_dev_conceptrol_w025_s07", Residency::Disk);
}
