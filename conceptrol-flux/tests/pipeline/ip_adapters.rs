//! IP-Adapters through the whole pipeline.

use std::path::PathBuf;

use burn::tensor::FloatDType;
use conceptrol_core::{
    SiteSelector, StepWindow,
    mask::{ConceptMask, MaskNorm},
    pipeline::{ConceptRequest, Family, LoadOptions, Mode, Pipeline, Residency, Words},
};
use conceptrol_flux::{
    Flux,
    pipeline::{FluxOptions, Request},
};

use crate::tiny::{bare, flux, generate, latents, open, pictures, reference, request};

const KINDS: [&str; 2] = ["xlabs.safetensors", "instantx.bin"];

fn files(name: &str) -> (PathBuf, PathBuf) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/ip_adapter");
    let kind = name.split('.').next().expect("a name");
    (folder.join(name), folder.join(format!("{kind}_encoder")))
}

fn with(names: &[&str]) -> LoadOptions<FluxOptions> {
    names
        .iter()
        .fold(bare(), |options, name| options.adapter(files(name)))
}

fn mixed(request: Request) -> Request {
    request.true_cfg_scale(2.0).negative_prompt("a library")
}

#[test]
fn pictures_act_where_their_words_do() {
    for kind in KINDS {
        let flux = open(with(&[kind]));
        let generation = generate(&flux, &request());
        for mask in &generation.masks {
            let mask = mask.as_ref().expect("a mask was read");
            let stamp = mask.stamp().expect("a stamp");
            assert_eq!(
                (stamp.site.index(), stamp.step),
                (2, 1),
                "the last double block"
            );
            let peak: f32 = mask.values().clone().max().into_scalar();
            assert!((peak - 1.0).abs() < 1e-3, "{kind}: the peak is {peak}");
        }
        let [conceptrol, adapter, words] = [Mode::Conceptrol, Mode::Adapter, Mode::TextOnly]
            .map(|mode| latents(&flux, &request().mode(mode)));
        assert!(
            conceptrol != adapter && adapter != words && conceptrol != words,
            "{kind}"
        );
        // the same pictures of the words as without any adapter
        assert_eq!(
            words,
            latents(&open(bare()), &request().mode(Mode::TextOnly))
        );
    }
}

#[test]
fn outside_the_window_there_is_no_adapter() {
    for kind in KINDS {
        let flux = open(with(&[kind]));
        let words = latents(&flux, &request().mode(Mode::TextOnly));
        let never = StepWindow::new(1.0, 1.0).expect("a window");
        assert_eq!(latents(&flux, &request().window(never)), words);
        assert_eq!(latents(&flux, &request().scale(0.0)), words);
        let late = StepWindow::after_warmup(0.5).expect("a window");
        let late = latents(&flux, &request().window(late));
        assert!(late != words && late != latents(&flux, &request()));
    }
}

#[test]
fn a_picture_of_a_batch_is_that_of_its_seed() {
    let dtypes = [FloatDType::F32, FloatDType::BF16];
    for (kind, dtype) in KINDS
        .iter()
        .flat_map(|kind| dtypes.map(|dtype| (*kind, dtype)))
    {
        let flux = open(with(&[kind]).dtype(dtype));
        for mode in [Mode::Conceptrol, Mode::Adapter] {
            for change in [std::convert::identity, mixed] {
                let request = || change(request().mode(mode));
                let alone = (3..6).flat_map(|seed| pictures(&flux, &request().seed(seed)));
                let alone: Vec<_> = alone.collect();
                let together = pictures(&flux, &request().images_per_prompt(3));
                assert!(together == alone, "{kind}, {mode:?}");
            }
        }
    }
}

#[test]
fn where_weights_live_does_not_matter() {
    for kind in KINDS {
        let kept = latents(&open(with(&[kind])), &mixed(request()));
        for residency in [Residency::WhileUsed, Residency::Disk] {
            let flux = open(with(&[kind]).residency(residency));
            assert_eq!(
                latents(&flux, &mixed(request())),
                kept,
                "{kind}, {residency:?}"
            );
        }
    }
}

#[test]
fn each_concept_has_its_adapter() {
    let flux = open(with(&KINDS));
    let mut both = request();
    both.concepts[1].adapter = 1;
    let mode = |mode| latents(&flux, &both.clone().mode(mode));
    assert!(mode(Mode::Conceptrol) != mode(Mode::Adapter));
    // a concept of scale 0 is as one that is not there
    let mut first = both.clone();
    first.concepts[1].scale = 0.0;
    let mut alone = request();
    alone.concepts.truncate(1);
    let xlabs = open(with(&KINDS[..1]));
    assert_eq!(latents(&flux, &first), latents(&xlabs, &alone));
}

#[test]
fn blocks_have_scales() {
    let flux = open(with(&KINDS[..1]));
    let at = |block: usize| SiteSelector::named(format!("transformer_blocks.{block}.attn"));
    let only = |scales: [f32; 3]| {
        let request = request().mode(Mode::Adapter);
        let scaled = scales.into_iter().enumerate();
        scaled.fold(request, |request, (block, scale)| {
            request.site_scale(at(block), scale)
        })
    };
    let words = latents(&flux, &request().mode(Mode::TextOnly));
    assert_eq!(latents(&flux, &only([0.0; 3])), words);
    assert_eq!(
        latents(&flux, &only([0.5; 3])),
        latents(&flux, &request().mode(Mode::Adapter).scale(0.5))
    );
    let single = request().site_scale(SiteSelector::under("single_transformer_blocks"), 0.0);
    let error = flux
        .check_request(&single)
        .expect_err("XLabs has nothing there");
    assert!(
        error.to_string().contains("that has the adapter"),
        "{error}"
    );
    // beside InstantX's it is for that alone
    let mut both = single.mode(Mode::Adapter);
    both.concepts[1].adapter = 1;
    let mut unscaled = both.clone();
    unscaled.site_scales.clear();
    let two = open(with(&KINDS));
    assert!(latents(&two, &both) != latents(&two, &unscaled));
}

#[test]
fn several_pictures_are_one_attention() {
    let flux = open(with(&KINDS[..1]));
    let concept = |pictures: &[u32]| {
        let mut pictures = pictures.iter().map(|width| reference(*width, 50));
        let first = ConceptRequest::new("picture", pictures.next().expect("a picture"));
        pictures
            .fold(first, ConceptRequest::another_image)
            .words(Words::Everywhere)
    };
    let run = |pictures: &[u32]| {
        let mut request = request().mode(Mode::Adapter);
        request.concepts = vec![concept(pictures)];
        latents(&flux, &request)
    };
    let (one, twice, two) = (run(&[40]), run(&[40, 40]), run(&[40, 90]));
    // keys that stand there twice have the weights of once
    let off = crate::tiny::difference(&twice, &one);
    assert!(off < 1e-5, "{off}");
    assert!(crate::tiny::difference(&two, &one) > 1e-3);
}

#[test]
fn the_unconditional_half_sees_a_black_picture_unless_another_is_given() {
    let flux = open(with(&KINDS[..1]));
    let run = |negative: Option<image::RgbImage>| {
        let mut request = mixed(request().mode(Mode::Adapter));
        for concept in &mut request.concepts {
            concept.negative_image.clone_from(&negative);
        }
        latents(&flux, &request)
    };
    let none = run(None);
    assert_eq!(run(Some(image::RgbImage::new(7, 3))), none);
    assert!(run(Some(reference(20, 20))) != none);
}

#[test]
fn what_nothing_reads_is_refused() {
    let xlabs = open(with(&KINDS[..1]));
    let omini = flux();
    let refuse = |flux: &Flux, request: Request| {
        flux.check_request(&request)
            .expect_err("refused")
            .to_string()
    };
    let negative = |mut request: Request| {
        request.concepts[0].negative_image = Some(reference(8, 8));
        request
    };
    assert_eq!(
        refuse(&xlabs, negative(request())),
        "FLUX has no use for a negative picture: guidance mixes nothing"
    );
    assert!(xlabs.check_request(&negative(mixed(request()))).is_ok());
    assert_eq!(
        refuse(&omini, negative(mixed(request()))),
        "FLUX has no negative picture: only IP-Adapters read one"
    );
    let mut several = request();
    several.concepts[0].more_images.push(reference(8, 8));
    assert!(xlabs.check_request(&several).is_ok());
    assert_eq!(
        refuse(&omini, several),
        "FLUX has no second picture of a concept: only IP-Adapters read several"
    );
    let mut text = request();
    text.extra.text_rows = false;
    assert_eq!(
        refuse(&xlabs, text.clone()),
        "FLUX has no text rows to leave out: only InstantX's ip-adapter has some"
    );
    assert!(open(with(&KINDS[1..])).check_request(&text).is_ok());
    // what is the logarithm of a bias for OminiControl is a factor here
    assert!(xlabs.check_request(&request().scale(-0.5)).is_ok());
}

#[test]
fn masks_of_ones_and_zeros() {
    let grid = conceptrol_core::Grid::new(3, 4);
    for kind in KINDS {
        let flux = open(with(&[kind]));
        let drawn = |value: f32| {
            let mut request = request();
            request.extra.text_rows = kind == KINDS[0];
            for concept in &mut request.concepts {
                let mask =
                    burn::tensor::Tensor::full([1, 12], value, &burn::tensor::Device::flex());
                concept.mask = Some(ConceptMask::new(mask, grid).expect("12 cells"));
                concept.mask_role = conceptrol_core::MaskRole::Instead;
            }
            request
        };
        let as_drawn = |value: f32, mode| latents(&flux, &drawn(value).mode(mode));
        let all = as_drawn(1.0, Mode::Conceptrol);
        assert_eq!(all, as_drawn(1.0, Mode::Adapter), "{kind}: ones");
        let none = as_drawn(0.0, Mode::Conceptrol);
        assert_eq!(none, as_drawn(0.0, Mode::TextOnly), "{kind}: zeros");
    }
    let named = open(with(&KINDS[..1]));
    assert_eq!(named.profile().gating.norm(), MaskNorm::Max);
    assert_eq!(flux().profile().gating.norm(), MaskNorm::Mean);
}
