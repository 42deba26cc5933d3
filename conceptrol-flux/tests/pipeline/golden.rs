//! The whole pipeline against the authors' code, from prompt and reference picture to latents and pictures.
//!
//! One case lies in this crate. `CONCEPTROL_FIXTURES=DIR cargo test --release -p conceptrol-flux --test pipeline --
//! --include-ignored golden` runs those of a larger set, which DIR holds as `flux_*`.

use std::ops::ControlFlow;

use burn::tensor::Tensor;
use conceptrol_core::StepWindow;
use conceptrol_core::pipeline::{
    ConceptRequest, Fidelity, ImageSize, LoadOptions, Mode, Pipeline, Residency, StepReport,
};
use conceptrol_flux::Flux;
use conceptrol_flux::latents::pack;
use conceptrol_flux::pipeline::{Request, concept_block};

use crate::common::{Case, fixtures};

/// torch's own kernels differ from each other by 1.4e-6.
const NOISE: f32 = 2e-6;

fn request(case: &Case) -> Request {
    let params = &case.json["params"];
    let size = |name: &str| params[name].as_u64().expect("a size") as usize;
    let number = |name: &str| params[name].as_f64().expect("a number");
    let start = number("control_guidance_start");
    let window = StepWindow::new(start, number("control_guidance_end")).expect("a window");
    let prompt = params["prompt"].as_str().expect("a prompt");
    let mut request = Request::new(prompt)
        .fidelity(Fidelity::Authors)
        .size(ImageSize::new(size("height"), size("width")))
        .steps(size("num_inference_steps"))
        .guidance_scale(number("guidance_scale"))
        .seed(number("seed") as u64)
        .scale(number("condition_scale") as f32)
        .window(window);
    request.extra = request.extra.text_tokens(size("max_sequence_length"));
    let subjects = params["subjects"].as_array().expect("subjects").iter();
    let pictures = params["images"].as_array().expect("images").iter();
    for (words, picture) in subjects.zip(pictures) {
        let path = fixtures().join(picture.as_str().expect("a path"));
        let picture = conceptrol_core::models::image::open(path).expect("a picture");
        let words = words.as_str().expect("words");
        request = request.concept(ConceptRequest::new(words, picture));
    }
    if params["method"] == "ominicontrol" {
        request = request.mode(Mode::Adapter);
    }
    request
}

fn check(name: &str, residency: Residency) {
    let Some(case) = Case::find(name) else {
        panic!("no case {name} in {}", fixtures().display())
    };
    let options = LoadOptions::new(case.device.clone()).residency(residency);
    let flux = Flux::open(case.file("model"), options.adapter(case.file("lora"))).expect("opens");
    let mut request = request(&case);
    let blocks = case.json["params"]["NUM_BLOCKS"].as_u64();
    if blocks != Some(flux.config().num_layers as u64) {
        request = request.mask_source(concept_block(flux.config(), Fidelity::Paper));
    }

    let conditioning = flux.condition(&request).expect("a request");
    let states = &conditioning.states;
    case.check("prompt_embeds", states.text().clone());
    case.check("pooled_prompt_embeds", states.pooled().clone());
    if case.expects("condition_tokens") {
        let tokens = states.conditions[0].tokens.clone();
        case.check("condition_tokens", tokens);
    }
    let noise = pack(conditioning.latents.clone()) - case.input::<3>("latents");
    let noise = noise.abs().max().into_scalar::<f32>();
    assert!(noise <= NOISE, "the noise differs by {noise}");

    let (mut velocities, mut latents, mut masks) = (Vec::new(), Vec::new(), Vec::new());
    let plan = flux.plan(&request).expect("a plan");
    let mut observer = |step: &StepReport<'_>| {
        velocities.push(pack(step.guided.clone()));
        latents.push(pack(step.latents.clone()));
        let mask = step.session.board().latest(0);
        masks.extend(mask.map(|mask| mask.values().clone().log()));
        ControlFlow::Continue(())
    };
    let (end, _) = flux
        .denoise(&plan, &request, &conditioning, &mut observer)
        .expect("latents");
    let steps = latents.len();
    if case.expects("noise_pred") {
        case.check("noise_pred", Tensor::cat(velocities, 0));
    }
    let expected: Tensor<3> = case.expected("latents");
    let latents = Tensor::cat(latents, 0);
    case.check_against("latents", latents, expected.narrow(0, 1, steps));
    if case.expects("concept_mask_log") {
        // One or three refreshes a step; the last of them is what the step leaves on the board.
        let refreshes: Tensor<2> = case.expected("concept_mask_log");
        let [rows, cells] = refreshes.dims();
        let last = refreshes
            .reshape([steps, rows / steps, cells])
            .narrow(1, rows / steps - 1, 1);
        let last = last.reshape([steps, cells]);
        case.check_against("concept_mask_log", Tensor::cat(masks, 0), last);
    } else {
        assert!(masks.is_empty(), "the plain adapter reads no masks");
    }
    if case.expects("image_raw") {
        let vae = flux.vae().expect("an autoencoder");
        case.check("vae_in", vae.unscale(end.clone()));
        let decoded = conceptrol_core::pipeline::Family::decode(&flux, end, None);
        case.check("image_raw", decoded.expect("a picture"));
    }
}

#[test]
fn dev_conceptrol_with_warm_up() {
    check("flux_dev_conceptrol_w025_s07", Residency::Memory);
}

#[test]
fn blocks_from_disk_give_the_same() {
    check("flux_dev_conceptrol_w025_s07", Residency::Disk);
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
