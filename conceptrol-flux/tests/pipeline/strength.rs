//! How strongly reference pictures act: scales, sites, steps, modes.

use burn::tensor::Tensor;
use conceptrol_core::{
    SiteSelector, StepWindow,
    pipeline::{ConceptRequest, Mode, Pipeline},
};
use conceptrol_flux::pipeline::Request;

use crate::tiny::{bare, difference, flux, generate, latents, numbers, open, request};

/// Without strength inside and outside the window.
fn silent() -> Request {
    request().scale(0.0).outside(0.0)
}

#[test]
fn text_only_is_a_request_without_concepts() {
    let flux = flux();
    let mut without = request();
    without.concepts.clear();
    let expected = latents(&flux, &without);
    let text_only = generate(&flux, &request().mode(Mode::TextOnly));
    assert_eq!(numbers(&text_only), expected, "bit for bit");
    assert_eq!(
        text_only.located[0].len(),
        2,
        "words are located all the same"
    );
    // neither pictures nor an adapter are needed
    let mut words_only = request().mode(Mode::TextOnly);
    words_only.concepts = ["t-shirt", "library"]
        .map(ConceptRequest::words_only)
        .to_vec();
    assert_eq!(latents(&open(bare()), &words_only), expected);
    assert_ne!(latents(&flux, &request()), expected, "pictures act");
}

#[test]
fn without_strength_the_reference_does_not_act() {
    let flux = flux();
    let expected = latents(&flux, &request().mode(Mode::TextOnly));
    for mode in [Mode::Conceptrol, Mode::Adapter] {
        let mut blocked = request().mode(mode);
        for concept in &mut blocked.concepts {
            concept.scale = 0.0;
        }
        let blocked = latents(&flux, &blocked);
        // Blocked keys weigh nothing, but the sums over the others are taken in other blocks.
        assert!(difference(&blocked, &expected) < 1e-5, "{mode:?}");
        assert_eq!(latents(&flux, &silent().mode(mode)), blocked, "{mode:?}");
    }
}

#[test]
fn sites_have_their_own_strength() {
    let flux = flux();
    let all = SiteSelector::all;
    let none = latents(&flux, &request().site_scale(all(), 0.0));
    assert_eq!(none, latents(&flux, &silent()), "0 everywhere");
    let expected = latents(&flux, &request());
    assert_eq!(latents(&flux, &request().site_scale(all(), 1.0)), expected);
    let block = SiteSelector::named("transformer_blocks.1.attn");
    let one = latents(&flux, &request().site_scale(block.clone(), 0.0));
    assert!(difference(&one, &expected) > 1e-4);
    assert!(difference(&one, &none) > 1e-4);
    let last_wins = request().site_scale(all(), 0.0).site_scale(all(), 1.0);
    assert_eq!(latents(&flux, &last_wins), expected);
    let half = latents(&flux, &request().site_scale(all(), 0.5));
    assert_eq!(
        half,
        latents(&flux, &request().scale(0.5)),
        "as the request's scale"
    );
    let nowhere = request().site_scale(SiteSelector::named("transformer_blocks.7.attn"), 0.5);
    assert!(flux.check_request(&nowhere).is_err());
}

#[test]
fn outside_the_window_the_authors_strength_acts() {
    let flux = flux();
    let never = StepWindow::new(1.0, 1.0).expect("a window");
    let half = latents(&flux, &request().window(never));
    assert_eq!(
        half,
        latents(&flux, &request().scale(0.5)),
        "0.5 unless said otherwise"
    );
    let nothing = request().window(never).outside(0.0);
    assert_eq!(latents(&flux, &nothing), latents(&flux, &silent()));
}

/// Several references, higher than the picture and not square, one of them without any strength: its keys are blocked for
/// words and latents. It still acts on the other reference's tokens, so the picture is not that of one reference.
#[test]
fn one_of_two_references_can_be_without_strength() {
    let flux = flux();
    for mode in [Mode::Conceptrol, Mode::Adapter] {
        let both = latents(&flux, &request().mode(mode));
        let mut faint = request().mode(mode);
        faint.concepts[1].scale = 0.0;
        let faint = latents(&flux, &faint);
        // finite, too
        assert!(difference(&faint, &both) > 1e-4, "{mode:?}");
    }
}

#[test]
fn latents_can_be_given() {
    let flux = flux();
    let conditioning = flux.condition(&request()).expect("a request");
    let given = request().latents(conditioning.latents.clone()).seed(99);
    assert_eq!(latents(&flux, &given), latents(&flux, &request()));
    let wrong = request().latents(Tensor::zeros([1, 16, 6, 6], &conditioning.latents.device()));
    let refused = "the shape of the latents is [1, 16, 6, 6], it must be [1, 16, 6, 8]";
    for outcome in [flux.check_request(&wrong), flux.condition(&wrong).map(drop)] {
        assert_eq!(outcome.expect_err("refused").to_string(), refused);
    }
}

#[test]
fn tiles_decode_the_whole_picture() {
    let flux = flux();
    let tiled = generate(&flux, &request().vae_tile(32));
    let whole = generate(&flux, &request());
    assert_eq!(numbers(&tiled), numbers(&whole), "only decoding differs");
    assert_ne!(tiled.images, whole.images, "and it does");
}
