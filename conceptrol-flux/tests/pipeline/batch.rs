//! A picture of a batch has the bits that it has alone: latents and colours, in every type of the weights.

use burn::tensor::FloatDType;
use conceptrol_core::pipeline::Mode;
use conceptrol_flux::{Flux, pipeline::Request};

use crate::tiny::{flux, lora, open, options, pictures, request};

fn check(flux: &Flux, change: impl Fn(Request) -> Request, what: &str) {
    let alone: Vec<_> = (3..8)
        .flat_map(|seed| pictures(flux, &change(request().seed(seed))))
        .collect();
    assert_ne!(alone[0], alone[1], "seeds matter");
    for count in [2, 3, 5] {
        let together = pictures(flux, &change(request().images_per_prompt(count)));
        assert_eq!(together.len(), count);
        for (index, (together, alone)) in together.iter().zip(&alone).enumerate() {
            assert!(together == alone, "picture {index} of {count}, {what}");
        }
    }
}

#[test]
fn a_picture_of_a_batch_is_that_of_its_seed() {
    for dtype in [FloatDType::F32, FloatDType::BF16, FloatDType::F16] {
        let flux = open(options().dtype(dtype).lora(lora(), 0.5));
        check(&flux, |request| request, &format!("{dtype:?}"));
    }
}

#[test]
fn also_with_the_plain_adapter_and_without_any() {
    let flux = flux();
    check(&flux, |request| request.mode(Mode::Adapter), "plain");
    check(&flux, |request| request.mode(Mode::TextOnly), "text only");
}
