use std::{
    fs, io,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use burn::tensor::{Device, FloatDType, Tensor};
use bytes::Bytes;
use conceptrol_core::message::chain;
use conceptrol_core::models::weights::Files;
use conceptrol_core::pipeline::{
    Family, ImageSize, LoadOptions, Mode, Pipeline, PipelineError, Residency, Silent, StepReport,
    Words,
};
use conceptrol_sd::StableDiffusion;
use conceptrol_sd::pipeline::{MicroConditioning, Request};

use crate::tiny::{PROMPT, assert_same, latents, open, picture, pipeline, request};

#[test]
fn one_two_and_three_concepts_each_change_the_picture() {
    let pipeline = pipeline(1);
    let counts = [
        &["statue"][..],
        &["statue", "the book"],
        &["statue", "the book", "cafe"],
    ];
    let pictures: Vec<_> = counts
        .iter()
        .map(|words| latents(&pipeline, &request(words)))
        .collect();
    let text_only = latents(&pipeline, &request(&[]));
    for (index, picture) in pictures.iter().enumerate() {
        assert_ne!(*picture, text_only);
        assert!(
            pictures[..index].iter().all(|other| other != picture),
            "{index} is like one before"
        );
    }
    let reordered = {
        let mut request = request(&["statue", "the book", "cafe"]);
        request.concepts.reverse();
        latents(&pipeline, &request)
    };
    assert_same(
        &pictures[2],
        &reordered,
        "the order of concepts does not matter",
    );
}

#[test]
fn several_pictures_of_a_concept_are_one_attention() {
    let pipeline = pipeline(1);
    let with = |seeds: &[u32]| {
        let mut request = request(&["statue"]);
        let further = seeds.iter().map(|seed| picture(*seed));
        request.concepts[0].more_images = further.collect();
        latents(&pipeline, &request)
    };
    // keys that stand there twice have the weights of once
    let one = with(&[]);
    assert_same(&with(&[0]), &one, "the same picture twice");
    let two = with(&[5]);
    let difference = one.iter().zip(&two).map(|(a, b)| (a - b).abs());
    assert!(difference.fold(0.0, f32::max) > 1e-2, "another picture");
    let mut negative = request(&["statue"]);
    negative.concepts[0].negative_image = Some(picture(5));
    let error = pipeline.check_request(&negative).expect_err("refused");
    assert!(error.to_string().contains("no negative picture"), "{error}");
}

#[test]
fn overlapping_concepts_are_an_error() {
    let error = pipeline(1)
        .generate(&request(&["the book", "book"]), &mut Silent)
        .expect_err("they overlap");
    assert!(matches!(error, PipelineError::Overlap(_)), "{error}");
}

#[test]
fn pictures_need_not_be_square() {
    let pipeline = pipeline(1);
    let mut wide = request(&["statue"]);
    wide.size = Some(ImageSize::new(64, 96)); // the shape of 768x512
    let generation = pipeline
        .generate(&wide, &mut Silent)
        .expect("a valid request");
    assert_eq!(generation.images[0].dimensions(), (96, 64));
}

#[test]
fn two_adapters_are_the_sum_of_their_branches() {
    let pipeline = pipeline(2);
    let one = latents(&pipeline, &request(&["statue", "the book"]));
    let mut split = request(&["statue", "the book"]);
    split.concepts[1].adapter = 1; // the same weights, installed a second time
    assert_same(&one, &latents(&pipeline, &split), "the same weights twice");
}

#[test]
fn micro_conditioning_and_prompts_of_the_second_encoder_matter() {
    let pipeline = pipeline(1);
    let plain = latents(&pipeline, &request(&["statue"]));
    let mut cropped = request(&["statue"]);
    cropped.extra.micro = MicroConditioning {
        crop_top_left: (16, 0),
        ..MicroConditioning::default()
    };
    assert_ne!(latents(&pipeline, &cropped), plain);
    let mut second = request(&["statue"]);
    second.extra.prompts_2 = vec!["the cafe".into()];
    assert_ne!(latents(&pipeline, &second), plain);
    let mut spelled_out = request(&["statue"]);
    spelled_out.extra.prompts_2 = vec![PROMPT.into()];
    assert_eq!(latents(&pipeline, &spelled_out), plain);
    // an absent negative prompt is zeros for this checkpoint, an empty one is encoded
    let mut empty = request(&["statue"]);
    empty.negative_prompts = Some(vec![String::new()]);
    assert_ne!(latents(&pipeline, &empty), plain);
}

#[test]
fn rescaled_guidance_and_an_early_end_work() {
    let pipeline = pipeline(1);
    let plain = latents(&pipeline, &request(&["statue"]));
    let mut rescaled = request(&["statue"]);
    rescaled.guidance.rescale = 0.7;
    assert_ne!(latents(&pipeline, &rescaled), plain);
    let mut early = request(&["statue"]).steps(4);
    early.scheduler_options = early.scheduler_options.denoising_end(0.5);
    let mut steps = 0;
    pipeline
        .generate(&early, &mut |_: &StepReport<'_>| {
            steps += 1;
            std::ops::ControlFlow::Continue(())
        })
        .expect("a valid request");
    assert_eq!(steps, 2, "half of the schedule is left to a refiner");
}

#[test]
fn low_memory_gives_the_same_picture() {
    let frugal = open(
        1,
        LoadOptions::new(Device::flex()).residency(Residency::WhileUsed),
    );
    assert_eq!(
        latents(&frugal, &request(&["statue"])),
        latents(&pipeline(1), &request(&["statue"]))
    );
}

#[test]
fn mapped_files_give_the_same_picture() {
    static OPENED: AtomicUsize = AtomicUsize::new(0);
    fn in_memory(path: &Path) -> io::Result<Bytes> {
        OPENED.fetch_add(1, Ordering::Relaxed);
        fs::read(path).map(Bytes::from)
    }
    let options = LoadOptions::new(Device::flex()).files(Files::Mapped(in_memory));
    assert_eq!(
        latents(&open(1, options), &request(&["statue"])),
        latents(&pipeline(1), &request(&["statue"]))
    );
    // Two text encoders, the UNet, the autoencoder, the adapter and its image encoder.
    assert_eq!(OPENED.load(Ordering::Relaxed), 6);
}

#[test]
fn the_concept_block_need_not_be_named() {
    let pipeline = pipeline(1);
    let named = request(&["statue"]);
    let mut found = named.clone();
    found.mask_source = None;
    assert_eq!(latents(&pipeline, &found), latents(&pipeline, &named));
}

#[test]
fn half_precision_is_near_single_and_its_autoencoder_stays_in_single() {
    let single = pipeline(1);
    let size = |values: &[f32]| values.iter().map(|x| x * x).sum::<f32>().sqrt();
    // Two steps with guidance 6 amplify a rounding (2^-11, 2^-8) by some fifteen times, half to three times that from seed to
    // seed: so the mean of ten.
    for (dtype, rounding) in [
        (FloatDType::F16, 1.0 / 2048.0),
        (FloatDType::BF16, 1.0 / 256.0),
    ] {
        let half = open(1, LoadOptions::new(Device::flex()).dtype(dtype));
        let relative = |seed| {
            let asked = request(&["statue", "the book"]).seed(seed);
            let (actual, expected) = (latents(&half, &asked), latents(&single, &asked));
            let difference: Vec<f32> = actual.iter().zip(&expected).map(|(a, b)| a - b).collect();
            size(&difference) / size(&expected)
        };
        let relative = (0..10).map(relative).sum::<f32>() / 10.0;
        println!("{dtype:?} differs by {relative:.2e} of the latents");
        assert!(
            relative < 20.0 * rounding,
            "{dtype:?} differs by {relative}"
        );
        if dtype == FloatDType::F16 {
            let picture = |pipeline: &StableDiffusion| {
                let start = Tensor::<4>::ones([1, 4, 8, 8], &Device::flex());
                pipeline
                    .decode(start, None)
                    .expect("latents of four channels")
                    .into_data()
            };
            picture(&half).assert_eq(&picture(&single), true);
        }
    }
}

#[test]
fn bad_requests_are_clear_errors() {
    let pipeline = pipeline(1);
    let fails = |change: &dyn Fn(&mut Request)| {
        let mut request = request(&["statue"]);
        change(&mut request);
        let error = pipeline.generate(&request, &mut Silent);
        chain(&error.expect_err("a bad request"))
    };
    let two = || vec![String::new(), String::new()];
    assert_eq!(
        fails(&|r| r.extra.prompts_2 = two()),
        "the number of second prompts is 2, it must be 1"
    );
    assert_eq!(
        fails(&|r| r.negative_prompts = Some(two())),
        "the number of negative prompts is 2, it must be 1"
    );
    assert_eq!(
        fails(&|r| r.extra.negative_prompts_2 = Some(two())),
        "the number of second negative prompts is 2, it must be 1"
    );
    assert_eq!(
        fails(&|r| r.guidance.rescale = 1.5),
        "the guidance rescale is 1.5, it must be between 0 and 1"
    );
    assert_eq!(
        fails(&|r| r.concepts[0].adapter = 1),
        "the adapter of a concept is 1, it must be below the 1 that are loaded"
    );
    assert_eq!(
        fails(&|r| r.vae_tile = Some(0)),
        "the edge of a tile is 0, it must be at least 1 pixel"
    );
    for broken in [f64::NAN, f64::INFINITY, -0.1] {
        assert!(fails(&|r| r.guidance.rescale = broken).contains("the guidance rescale"));
    }
    assert!(fails(&|r| r.scheduler_options.denoising_end = Some(2.0)).contains("denoising_end"));
    assert!(fails(&|r| r.size = Some(ImageSize::new(60, 64))).starts_with("the height is 60"));
    assert!(
        fails(&|r| r.extra.clip_skip = 99).contains("99")
            || fails(&|r| r.extra.clip_skip = 99).contains("100")
    );
    let everywhere = fails(&|r| r.concepts[0].words = Words::Everywhere);
    assert!(everywhere.contains("no words"), "{everywhere}");
    let mut plain = request(&["statue"]).mode(Mode::Adapter);
    plain.concepts[0].words = Words::Everywhere;
    assert!(
        pipeline.generate(&plain, &mut Silent).is_ok(),
        "the plain adapter needs no words"
    );
}
