//! A picture of a batch has the bits that it has alone: latents and colours.

use burn::tensor::{Device, FloatDType};
use conceptrol_core::pipeline::{LoadOptions, Pipeline, Silent};
use conceptrol_sd::{StableDiffusion, pipeline::Request};

use crate::tiny::{open, pipeline, request};

/// The bytes of the latents and the colours, a picture each.
pub(crate) fn pictures(pipeline: &StableDiffusion, request: &Request) -> Vec<(Vec<u8>, Vec<u8>)> {
    let generation = pipeline
        .generate(request, &mut Silent)
        .expect("a valid request");
    let latents = generation.latents.into_data();
    let each = latents.as_bytes().len() / generation.images.len();
    let latents = latents.as_bytes().chunks(each).map(<[u8]>::to_vec);
    let colours = generation.images.into_iter().map(image::RgbImage::into_raw);
    latents.zip(colours).collect()
}

/// Two concepts under Conceptrol, with guidance.
fn with_seed(seed: u64) -> Request {
    request(&["statue", "the book"]).seed(seed)
}

pub(crate) fn check(pipeline: &StableDiffusion, change: impl Fn(&mut Request)) {
    let changed = |seed| {
        let mut request = with_seed(seed);
        change(&mut request);
        request
    };
    let alone: Vec<_> = (3..8)
        .flat_map(|seed| pictures(pipeline, &changed(seed)))
        .collect();
    assert_ne!(alone[0], alone[1], "seeds matter");
    for count in [3, 5] {
        let batch = changed(3).images_per_prompt(count);
        let together = pictures(pipeline, &batch);
        assert_eq!(together.len(), count);
        for (index, (together, alone)) in together.iter().zip(&alone).enumerate() {
            assert!(together == alone, "picture {index} of {count}");
        }
    }
}

#[test]
fn pictures_do_not_see_each_other() {
    check(&pipeline(1), |_| {});
}

#[test]
fn nor_without_guidance_or_with_its_rescaling() {
    let pipeline = pipeline(1);
    check(&pipeline, |request| request.guidance.scale = Some(1.0));
    check(&pipeline, |request| request.guidance.rescale = 0.7);
}

#[test]
fn nor_in_half_precision() {
    for dtype in [FloatDType::BF16, FloatDType::F16] {
        check(
            &open(1, LoadOptions::new(Device::flex()).dtype(dtype)),
            |_| {},
        );
    }
}

#[test]
fn prompts_do_not_see_each_other() {
    let pipeline = pipeline(1);
    let prompts = [
        "A statue is reading the book in the cafe",
        "the book in the cafe, a statue, best quality",
        "in the cafe a statue and the book",
    ];
    let mut together = with_seed(3);
    together.prompts = prompts.map(Into::into).to_vec();
    let together = pictures(&pipeline, &together);
    for (index, prompt) in prompts.into_iter().enumerate() {
        let mut alone = with_seed(3 + index as u64);
        alone.prompts = vec![prompt.into()];
        assert!(
            pictures(&pipeline, &alone)[0] == together[index],
            "{prompt}"
        );
    }
}

/// One, two and three threads give the same picture.
#[test]
fn threads_do_not_change_a_picture() {
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.expect("a pool")
            .install(|| pictures(&pipeline(1), &with_seed(3)))
    };
    let one = with(1);
    for threads in [2, 3] {
        assert!(with(threads) == one, "{threads} threads");
    }
}
