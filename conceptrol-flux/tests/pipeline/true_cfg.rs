//! Mixing beside the guidance that is built in.

use conceptrol_core::pipeline::Mode;
use conceptrol_flux::pipeline::Request;

use crate::tiny::{bare, difference, flux, latents, open, pictures, request};

const NEGATIVE: &str = "a man in the library";

fn mixed(scale: f64) -> Request {
    request().true_cfg_scale(scale).negative_prompt(NEGATIVE)
}

#[test]
fn it_mixes_what_two_runs_predict() {
    let flux = open(bare());
    let words = |request: Request| request.mode(Mode::TextOnly).steps(1);
    let prompt = latents(&flux, &words(request()));
    let mut other = words(request());
    other.concepts.clear();
    other.prompts = vec![NEGATIVE.into()];
    let negative = latents(&flux, &other);
    let both = latents(&flux, &words(mixed(2.5)));
    // one step is linear in the prediction
    let expected: Vec<f32> = (negative.iter().zip(&prompt))
        .map(|(u, c)| u + 2.5 * (c - u))
        .collect();
    let off = difference(&both, &expected);
    assert!(off < 1e-5, "{off}");
    assert!(difference(&both, &prompt) > 1e-2);
}

#[test]
fn a_scale_of_one_is_off() {
    let flux = flux();
    let plain = pictures(&flux, &request());
    assert!(pictures(&flux, &request().true_cfg_scale(1.0)) == plain);
}

#[test]
fn a_picture_of_a_batch_is_that_of_its_seed() {
    let flux = flux();
    for mode in [Mode::Conceptrol, Mode::Adapter] {
        let alone: Vec<_> = (3..6)
            .flat_map(|seed| pictures(&flux, &mixed(2.0).mode(mode).seed(seed)))
            .collect();
        let together = pictures(&flux, &mixed(2.0).mode(mode).images_per_prompt(3));
        assert!(together == alone, "{mode:?}");
    }
}

#[test]
fn negative_prompts_are_one_for_all_or_one_each() {
    let flux = open(bare());
    let words = |request: Request| {
        let mut request = request.mode(Mode::TextOnly);
        request.concepts.clear();
        request
    };
    let two = |negative: &[&str]| {
        let mut request = words(mixed(2.0)).prompt("the library");
        request.negative_prompts = Some(negative.iter().map(|x| (*x).to_owned()).collect());
        pictures(&flux, &request)
    };
    let same = two(&[NEGATIVE]);
    assert!(same == two(&[NEGATIVE, NEGATIVE]));
    let other = two(&[NEGATIVE, ""]);
    assert!(other[0] == same[0] && other[1] != same[1]);
}
