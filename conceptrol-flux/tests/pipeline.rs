//! The pipeline on a tiny model: where weights live, how parts combine, and requests that are refused.

mod common;

use std::ops::ControlFlow;
use std::path::PathBuf;

use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use common::fixtures;
use conceptrol_core::{AttentionPlan, Occurrence, SiteSelector};
use conceptrol_core::{mask::ConceptBlock, pipeline::Fidelity};
use conceptrol_flux::FluxError;
use conceptrol_flux::load::{FluxFolder, Residency};
use conceptrol_flux::omini::{ConditionSize, Placement};
use conceptrol_flux::pipeline::{
    ConceptRequest, FluxPipeline, FluxRequest, conceptrol_plan, conceptrol_plan_at,
    ominicontrol_plan,
};
use image::{Rgb, RgbImage};

fn lora() -> PathBuf {
    fixtures().join("models/flux_dev_subject_lora/lora.safetensors")
}

/// With the condition adapter, and the same file as a style adapter of `style` strength.
fn pipeline(residency: Residency, style: Option<f64>) -> FluxPipeline {
    pipeline_in(FloatDType::F32, residency, style)
}

fn pipeline_in(dtype: FloatDType, residency: Residency, style: Option<f64>) -> FluxPipeline {
    let path = fixtures().join("models/flux_dev");
    let folder = FluxFolder::open(path, &Device::flex(), dtype).expect("a folder");
    let mut pipeline = FluxPipeline::load(folder, residency).expect("a model");
    if let Some(strength) = style {
        pipeline
            .add_style_adapter(lora(), strength)
            .expect("an adapter");
    }
    pipeline
        .load_condition_adapter(lora(), Placement::RightOfPicture)
        .expect("an adapter");
    pipeline
}

fn reference(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([(13 * x) as u8, (29 * y) as u8, (x * y) as u8])
    })
}

/// 48 x 32 pixels with two references of other aspects, one of them larger than the picture.
fn request() -> FluxRequest {
    FluxRequest {
        concepts: vec![
            ConceptRequest::new("t-shirt", reference(40, 90)),
            ConceptRequest::new("library", reference(64, 20)),
        ],
        height: 48,
        width: 32,
        steps: 2,
        condition_size: ConditionSize::Area(64 * 48),
        text_tokens: 32,
        ..FluxRequest::new("a man is wearing a t-shirt in the library")
    }
}

fn plan(pipeline: &FluxPipeline) -> AttentionPlan {
    conceptrol_plan(pipeline.config(), Fidelity::Paper).expect("a plan")
}

fn latents(pipeline: &FluxPipeline, request: &FluxRequest, plan: &AttentionPlan) -> Tensor<3> {
    let generated = pipeline
        .generate(request, plan, &mut |_| ControlFlow::Continue(()))
        .expect("a picture");
    let [images, _, height, width] = generated.pictures.dims();
    assert_eq!(
        [images, height, width],
        [request.seeds.len(), request.height, request.width]
    );
    generated.latents
}

fn numbers<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().try_to_vec().expect("f32")
}

/// Largest difference in units of the largest number.
fn difference(a: Tensor<3>, b: &Tensor<3>) -> f32 {
    let largest = b.clone().abs().max().into_scalar::<f32>();
    assert!(largest.is_finite() && largest > 0.0);
    (a - b.clone()).abs().max().into_scalar::<f32>() / largest
}

#[test]
fn residence_does_not_change_the_picture() {
    let run = |residency| {
        let pipeline = pipeline(residency, Some(0.5));
        let plan = plan(&pipeline);
        // Twice: nothing is left behind by the first generation.
        let [first, second] = [(); 2].map(|()| numbers(latents(&pipeline, &request(), &plan)));
        assert_eq!(first, second, "{residency:?}");
        first
    };
    let expected = run(Residency::Memory);
    assert_eq!(run(Residency::WhileUsed), expected);
    assert_eq!(run(Residency::Disk), expected);
}

#[test]
fn a_style_acts_beside_the_condition() {
    let without = pipeline(Residency::Memory, None);
    let plan = plan(&without);
    let expected = latents(&without, &request(), &plan);
    let silent = pipeline(Residency::Memory, Some(0.0));
    // Adding zero in one more place changes no number.
    assert_eq!(
        numbers(latents(&silent, &request(), &plan)),
        numbers(expected.clone())
    );
    let styled = pipeline(Residency::Memory, Some(1.0));
    assert!(difference(latents(&styled, &request(), &plan), &expected) > 0.01);
    let mut later = pipeline(Residency::Memory, None);
    later.add_style_adapter(lora(), 1.0).expect("an adapter");
    assert_eq!(
        numbers(latents(&later, &request(), &plan)),
        numbers(latents(&styled, &request(), &plan)),
        "the order of installing does not matter"
    );
}

/// To the bit, in every type of the weights.
#[test]
fn a_picture_of_a_batch_is_that_of_its_seed() {
    for dtype in [FloatDType::F32, FloatDType::BF16, FloatDType::F16] {
        let pipeline = pipeline_in(dtype, Residency::Memory, Some(0.5));
        let plan = plan(&pipeline);
        let of = |seeds: &[u64]| {
            let request = FluxRequest {
                seeds: seeds.to_vec(),
                ..request()
            };
            let generated = pipeline
                .generate(&request, &plan, &mut |_| ControlFlow::Continue(()))
                .expect("a picture");
            let bytes = |data: TensorData| data.as_bytes().to_vec();
            let (latents, pictures) = (generated.latents, generated.pictures);
            (0..seeds.len())
                .map(|image| {
                    let latents = latents.clone().narrow(0, image, 1).into_data();
                    let picture = pictures.clone().narrow(0, image, 1).into_data();
                    (bytes(latents), bytes(picture))
                })
                .collect::<Vec<_>>()
        };
        let seeds = [3, 9, 2, 11, 5];
        let alone: Vec<_> = seeds.iter().flat_map(|seed| of(&[*seed])).collect();
        assert_ne!(alone[0], alone[1], "seeds matter");
        for count in [2, 3, 5] {
            let together = of(&seeds[..count]);
            assert!(together == alone[..count], "{count} pictures in {dtype:?}");
        }
    }
}

#[test]
fn without_strength_the_reference_does_not_act() {
    let pipeline = pipeline(Residency::Memory, None);
    let config = pipeline.config();
    let mut blocked = request();
    blocked
        .concepts
        .iter_mut()
        .for_each(|concept| concept.scale = 0.0);
    let bare = FluxRequest {
        concepts: Vec::new(),
        ..request()
    };
    let expected = latents(
        &pipeline,
        &bare,
        &AttentionPlan::plain(&pipeline.attention_sites()),
    );
    for plan in [plan(&pipeline), ominicontrol_plan(config).expect("a plan")] {
        // Blocked keys weigh nothing, but the sums over the others are taken in other blocks.
        assert!(difference(latents(&pipeline, &blocked, &plan), &expected) < 1e-5);
    }
}

#[test]
fn any_site_can_be_the_concept_block() {
    let pipeline = pipeline(Residency::Memory, None);
    let at = |site: &str| {
        conceptrol_plan_at(
            pipeline.config(),
            ConceptBlock::joint(SiteSelector::named(site)),
        )
    };
    let expected = latents(&pipeline, &request(), &plan(&pipeline));
    let last = at("transformer_blocks.2.attn").expect("the default");
    assert_eq!(
        numbers(latents(&pipeline, &request(), &last)),
        numbers(expected.clone())
    );
    let first = at("transformer_blocks.0.attn").expect("a plan");
    assert!(difference(latents(&pipeline, &request(), &first), &expected) > 1e-4);
    let message = at("transformer_blocks.3.attn")
        .expect_err("refused")
        .to_string();
    assert!(message.contains("transformer_blocks.3.attn"), "{message}");
}

#[test]
fn words_that_have_no_place_are_refused() {
    let pipeline = pipeline(Residency::Memory, None);
    let refuse = |change: &dyn Fn(&mut FluxRequest)| {
        let mut request = request();
        change(&mut request);
        pipeline.prepare(&request).expect_err("refused")
    };
    let beyond = refuse(&|request| {
        request.prompt = format!("{}in the library with a t-shirt", "very ".repeat(40));
        request.concepts.truncate(1);
    });
    assert!(
        beyond.to_string().contains("beyond the text window"),
        "{beyond}"
    );
    let absent = refuse(&|request| request.concepts[0].words = "statue".into());
    assert!(matches!(absent, FluxError::Span(_)), "{absent}");
    let seldom = refuse(&|request| request.concepts[0].occurrence = Occurrence::Nth(1));
    assert!(seldom.to_string().contains("has 1"), "{seldom}");
    let twice = refuse(&|request| request.concepts[1].words = "shirt in the library".into());
    assert!(twice.to_string().contains("overlap"), "{twice}");
}

#[test]
fn tiles_decode_the_whole_picture() {
    let pipeline = pipeline(Residency::Memory, None);
    let request = FluxRequest {
        vae_tile: Some(32),
        ..request()
    };
    latents(&pipeline, &request, &plan(&pipeline));
}
