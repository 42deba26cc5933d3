//! Requests that cannot be carried out, told before anything is computed.

use conceptrol_core::{
    SiteSelector, StepWindow,
    mask::ConceptBlock,
    message::chain,
    models::scheduler::SchedulerConfig,
    pipeline::{ConceptRequest, ImageSize, Mode, Pipeline, PipelineError, Silent},
};
use conceptrol_flux::{Flux, pipeline::Request};

use crate::tiny::{bare, flux, lora, model, open, options, request};

/// The message of a changed request; it is the same from `check_request` and `generate`.
fn refuse(flux: &Flux, change: impl Fn(&mut Request)) -> String {
    let mut request = request();
    change(&mut request);
    let error = flux.check_request(&request).expect_err("refused");
    let message = chain(&error);
    let generated = flux.generate(&request, &mut Silent).expect_err("refused");
    assert_eq!(chain(&generated), message);
    message
}

#[test]
fn what_flux_does_not_have() {
    let flux = flux();
    let negative = refuse(&flux, |r| r.negative_prompts = Some(vec!["blurry".into()]));
    assert_eq!(
        negative,
        "FLUX has no negative prompt without a true_cfg_scale above 1: its guidance is built in"
    );
    let rescale = refuse(&flux, |r| r.guidance.rescale = 0.7);
    assert_eq!(
        rescale,
        "FLUX has no guidance to rescale without a true_cfg_scale above 1: its guidance is built in"
    );
    let alone = refuse(&flux, |r| r.guidance.true_cfg_scale = Some(2.0));
    assert_eq!(
        alone,
        "FLUX has no true_cfg_scale without a negative prompt, which may be empty"
    );
    let off = refuse(&flux, |r| {
        r.guidance.true_cfg_scale = Some(1.0);
        r.negative_prompts = Some(vec!["blurry".into()]);
    });
    assert_eq!(off, negative);
    let low = refuse(&flux, |r| r.guidance.true_cfg_scale = Some(0.5));
    assert_eq!(low, "the true_cfg_scale is 0.5, it must be at least 1");
    let ddim = r#"{"_class_name": "DDIMScheduler"}"#;
    let ddim = SchedulerConfig::from_json(ddim).expect("a configuration");
    let diffusion = refuse(&flux, |r| r.scheduler = Some(ddim.clone()));
    assert_eq!(
        diffusion,
        "the scheduler is DDIMScheduler, it must be one for FLUX, as FlowMatchEulerDiscreteScheduler"
    );
}

#[test]
fn adapters_that_do_not_fit() {
    let second = Flux::open(model(), options().adapter(lora()));
    let second = second.expect_err("two adapters that read pictures");
    assert_eq!(
        second.to_string(),
        "FLUX has no second reader of pictures beside the latents: OminiControl is one, Kontext another"
    );
    let encoder = Flux::open(model(), bare().adapter((lora(), "image_encoder")));
    let encoder = encoder.expect_err("no image encoder").to_string();
    assert!(
        encoder.starts_with("FLUX has no image encoder"),
        "{encoder}"
    );

    let none = refuse(&open(bare()), |_| {});
    assert_eq!(
        none,
        "concept `t-shirt` needs an adapter, and none is loaded"
    );
    let flux = flux();
    assert_eq!(
        refuse(&flux, |r| r.concepts[1].adapter = 1),
        "the adapter of a concept is 1, it must be below the 1 that are loaded"
    );
    let no_picture = refuse(&flux, |r| {
        r.concepts[1] = ConceptRequest::words_only("library");
    });
    assert_eq!(no_picture, "concept `library` has no reference picture");
}

#[test]
fn numbers_out_of_range() {
    let flux = flux();
    let size = |height, width| refuse(&flux, move |r| r.size = Some(ImageSize::new(height, width)));
    assert_eq!(
        size(40, 64),
        "the height is 40, it must be a multiple of 16 between 16 and 8192"
    );
    assert!(size(0, 64).starts_with("the height is 0"));
    assert!(size(64, 8208).starts_with("the width is 8208"));
    assert!(size(usize::MAX, 64).starts_with("the height is"));
    assert_eq!(
        refuse(&flux, |r| r.scale = f32::NAN),
        "the scale is NaN, it must be finite"
    );
    assert_eq!(
        refuse(&flux, |r| r.scale = -0.5),
        "a condition scale is -0.5, it must be at least 0"
    );
    assert_eq!(
        refuse(&flux, |r| r.concepts[1].scale = -1.0),
        "a condition scale is -1, it must be at least 0"
    );
    let at_site = refuse(&flux, |r| r.site_scales.push((SiteSelector::all(), -1.0)));
    assert_eq!(at_site, "a condition scale is -1, it must be at least 0");
    assert_eq!(
        refuse(&flux, |r| r.outside = Some(f32::INFINITY)),
        "the strength outside the window is inf, it must be finite"
    );
    assert_eq!(
        refuse(&flux, |r| r.guidance.scale = Some(f64::NAN)),
        "the guidance scale is NaN, it must be finite"
    );
    for tokens in [0, 513, usize::MAX] {
        assert_eq!(
            refuse(&flux, |r| r.extra.text_tokens = Some(tokens)),
            format!("the number of text tokens is {tokens}, it must be 1 to 512")
        );
    }
    assert_eq!(
        refuse(&flux, |r| r.images_per_prompt = 0),
        "the number of images is 0, it must be at least 1"
    );
    assert_eq!(
        refuse(&flux, |r| r.prompts.clear()),
        "the number of prompts is 0, it must be at least 1"
    );
    let steps = refuse(&flux, |r| r.steps = Some(0));
    assert!(steps.contains("cannot run 0 steps"), "{steps}");
    assert_eq!(
        refuse(&flux, |r| r.vae_tile = Some(0)),
        "the edge of a tile is 0, it must be at least 1 pixel"
    );
    assert!(StepWindow::after_warmup(1.5).is_err());
}

#[test]
fn places_that_the_model_does_not_have() {
    let flux = flux();
    let at = |site: &str| {
        let source = std::sync::Arc::new(ConceptBlock::joint(SiteSelector::named(site)));
        refuse(&flux, move |r| r.mask_source = Some(source.clone()))
    };
    let typo = at("transformer_block.2.attn");
    assert_eq!(
        typo,
        "no site matches `transformer_block.2.attn`; did you mean `transformer_blocks.2.attn`?"
    );
    let scale = refuse(&flux, |r| {
        r.site_scales.push((SiteSelector::under("nonsense"), 0.5));
    });
    assert!(scale.starts_with("no site matches `nonsense`"), "{scale}");
}

/// Text-only needs none of it: a request for the words of concepts alone is fine without adapter and pictures.
#[test]
fn text_only_asks_for_less() {
    let words = ConceptRequest::words_only("library");
    let mut request = request().mode(Mode::TextOnly);
    request.concepts = vec![words];
    assert!(open(bare()).check_request(&request).is_ok());
    let conceptrol = request.mode(Mode::Conceptrol);
    let error = open(bare())
        .check_request(&conceptrol)
        .expect_err("refused");
    assert!(matches!(error, PipelineError::NoAdapter { .. }), "{error}");
}

/// Unknown at request time only because the picture decides it: still before the first step.
#[test]
fn pictures_that_cannot_be_encoded() {
    let flux = flux();
    let mut empty = request();
    empty.concepts[0].image = Some(image::RgbImage::new(0, 5));
    let error = flux.condition(&empty).expect_err("refused");
    let message = chain(&error);
    assert!(message.contains("0x5"), "{message}");
}
