//! Latents of diffusers' pipeline with the same model and options: `scripts/sdxl_golden.py`.

use std::{collections::BTreeMap, fs};

use burn::tensor::{Device, FloatDType, Tensor};
use conceptrol_core::models::weights::Checkpoint;
use conceptrol_core::pipeline::{ConceptRequest, Family, ImageSize, Mode, Words};
use conceptrol_sd::StableDiffusion;
use conceptrol_sd::pipeline::{MicroConditioning, Request};

use crate::{
    common::largest,
    tiny::{PROMPT, folder, latents, picture, pipeline},
};

fn check(case: &str, pipeline: &StableDiffusion, request: &Request) {
    let file = Checkpoint::open(folder().join("expected.safetensors")).unwrap();
    let expected: Tensor<4> = file
        .load(case, &Device::flex(), FloatDType::F32)
        .unwrap()
        .unwrap();
    let expected: Vec<f32> = expected.into_data().try_to_vec().unwrap();
    let tolerances = fs::read_to_string(folder().join("tolerances.json")).unwrap();
    let tolerances: BTreeMap<String, f32> = serde_json::from_str(&tolerances).unwrap();
    let actual = latents(pipeline, request);
    assert_eq!(actual.len(), expected.len(), "{case}");
    let difference = largest(actual.iter().zip(&expected).map(|(a, b)| (a - b).abs()));
    println!("{case} {difference:.2e} of {:.2e}", tolerances[case]);
    assert!(
        difference <= tolerances[case],
        "{case} differs by {difference}"
    );
}

fn ask(prompt: &str, steps: usize, guidance: f64, seed: u64, size: ImageSize) -> Request {
    Request::new(prompt)
        .steps(steps)
        .guidance_scale(guidance)
        .seed(seed)
        .size(size)
}

#[test]
fn sizes_second_prompt_clip_skip_rescale_and_an_early_end() {
    let mut request = ask("a statue! in the cafe", 5, 6.0, 3, ImageSize::new(64, 96));
    request.extra.prompts_2 = vec!["the book".into()];
    request.extra.clip_skip = 1;
    request.guidance.rescale = 0.7;
    request.scheduler_options = request.scheduler_options.denoising_end(0.6);
    request.extra.micro = MicroConditioning {
        original_size: Some(ImageSize::new(192, 160)),
        crop_top_left: (8, 24),
        target_size: Some(ImageSize::new(64, 96)),
    };
    request.extra.negative_micro = Some(MicroConditioning {
        original_size: Some(ImageSize::square(64)),
        crop_top_left: (0, 4),
        target_size: Some(ImageSize::new(96, 128)),
    });
    check("options", &pipeline(0), &request);
}

#[test]
fn two_prompts_with_empty_negative_ones_and_dpm_solver() {
    let pipeline = pipeline(0);
    let mut request = ask(PROMPT, 4, 7.5, 3, ImageSize::square(64));
    request
        .prompts
        .push("the book in the cafe, a statue".into());
    request.negative_prompts = Some(vec![String::new()]);
    request.extra.negative_prompts_2 = Some(vec!["high quality".into()]);
    request.scheduler = Some(
        pipeline
            .profile()
            .scheduler
            .with_name("dpmpp_2m_karras")
            .unwrap(),
    );
    check("two_prompts", &pipeline, &request);
}

#[test]
fn no_guidance_and_ddim() {
    let pipeline = pipeline(0);
    let mut request = ask("! the book", 4, 1.0, 5, ImageSize::new(72, 64));
    let ddim = pipeline.profile().scheduler.with_name("ddim").unwrap();
    let ddim = ddim.with_field("clip_sample", false.into());
    request.scheduler = Some(ddim.with_field("set_alpha_to_one", false.into()));
    check("unguided", &pipeline, &request);
}

#[test]
fn plain_adapter_on_a_wide_picture() {
    let mut request = ask(PROMPT, 4, 6.0, 3, ImageSize::new(64, 96))
        .mode(Mode::Adapter)
        .scale(0.6);
    let concept = ConceptRequest::new("picture", picture(0)).words(Words::Everywhere);
    request = request.concept(concept);
    check("ip_adapter", &pipeline(1), &request);
}
