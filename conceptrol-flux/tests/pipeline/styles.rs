//! Style adapters beside the one that reads reference pictures.

use conceptrol_core::pipeline::Mode;
use conceptrol_flux::Flux;

use crate::tiny::{bare, difference, flux, latents, lora, open, options, request};

fn styled(strengths: &[f64]) -> Flux {
    let styles = strengths.iter();
    open(styles.fold(options(), |options, strength| {
        options.lora(lora(), *strength)
    }))
}

#[test]
fn a_style_acts_beside_the_condition() {
    let expected = latents(&flux(), &request());
    // Adding zero in one more place changes no number.
    assert_eq!(latents(&styled(&[0.0]), &request()), expected);
    let one = latents(&styled(&[1.0]), &request());
    assert!(difference(&one, &expected) > 0.01);
    // the condition's adapter is still there
    let text_only = latents(&styled(&[1.0]), &request().mode(Mode::TextOnly));
    assert!(difference(&one, &text_only) > 0.01);
}

#[test]
fn styles_add_up_in_any_order() {
    let three = latents(&styled(&[0.25, 0.5]), &request());
    assert!(difference(&latents(&styled(&[0.5, 0.25]), &request()), &three) < 1e-5);
    assert!(difference(&latents(&styled(&[0.75]), &request()), &three) < 1e-5);
}

#[test]
fn a_style_needs_no_condition() {
    let text_only = request().mode(Mode::TextOnly);
    let styled = latents(&open(bare().lora(lora(), 1.0)), &text_only);
    assert!(difference(&styled, &latents(&flux(), &text_only)) > 0.01);
}
