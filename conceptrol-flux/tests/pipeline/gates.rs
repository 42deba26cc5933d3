//! What is exact of a gate, for every way a reference goes into the sequence: beside the latents (OminiControl, Kontext), or
//! in the text stream (Redux).

use burn::tensor::{Device, Tensor};
use conceptrol_core::{
    Grid, MaskRole, SiteSelector,
    mask::ConceptMask,
    pipeline::{Mode, Words},
    processors::{ReferenceSight, TextSight},
};
use conceptrol_flux::{
    Flux,
    pipeline::{Kind, Request},
};

use crate::tiny::{
    bare, difference, flux, latents, open, options, pictures, redux, reference, request,
};

/// Tokens of the pictures.
const GRID: Grid = Grid::new(3, 4);

pub(crate) fn kontext() -> Flux {
    let mut options = bare();
    options.extra = options.extra.kind(Kind::Kontext);
    open(options)
}

/// Each reader, and its name.
fn readers() -> [(&'static str, Flux); 3] {
    [
        ("OminiControl", flux()),
        ("Kontext", kontext()),
        ("Redux", open(bare().adapter(redux()))),
    ]
}

/// A mask of the tokens' columns.
fn columns(value: impl Fn(usize) -> f32) -> ConceptMask {
    let cells: Vec<f32> = (0..GRID.cells())
        .map(|cell| value(cell % GRID.width))
        .collect();
    let row = Tensor::<1>::from_floats(cells.as_slice(), &Device::flex());
    ConceptMask::new(row.unsqueeze(), GRID).expect("as many cells")
}

/// The request with these masks in the place of what attention says.
fn gated(mut request: Request, masks: [ConceptMask; 2]) -> Request {
    for (concept, mask) in request.concepts.iter_mut().zip(masks) {
        *concept = concept.clone().mask(mask).mask_role(MaskRole::Instead);
    }
    request
}

#[test]
fn a_gate_of_ones_is_none() {
    for (reader, flux) in readers() {
        let plain = pictures(&flux, &request().mode(Mode::Adapter));
        let ones = || [columns(|_| 1.0), columns(|_| 1.0)];
        let mut open = gated(request(), ones());
        open.extra.seen_by = TextSight::All;
        assert!(pictures(&flux, &open) == plain, "{reader}");
        // by default words outside of the concept do not see its picture, wherever it acts
        let words = latents(&flux, &gated(request(), ones()));
        let plain = latents(&flux, &request().mode(Mode::Adapter));
        assert!(difference(&words, &plain) > 1e-4, "{reader}");
    }
}

#[test]
fn a_gate_of_zeros_is_no_reference() {
    for (reader, flux) in readers() {
        let mut nowhere = gated(request(), [columns(|_| 0.0), columns(|_| 0.0)]);
        for concept in &mut nowhere.concepts {
            concept.words = Words::Everywhere;
        }
        let found = latents(&flux, &nowhere);
        let expected = latents(&flux, &request().mode(Mode::TextOnly));
        let off = difference(&found, &expected);
        assert!(off < 1e-6, "{reader}: {off}");
        let scaled = latents(&flux, &request().scale(0.0).outside(0.0));
        let off = difference(&scaled, &expected);
        assert!(off < 1e-6, "{reader} at scale 0: {off}");
    }
}

/// References act at the last site alone, behind which no token sees another.
#[test]
fn two_concepts_act_each_in_its_own_region() {
    for (reader, flux) in readers() {
        let last = format!(
            "single_transformer_blocks.{}.attn",
            flux.config().num_single_layers - 1
        );
        // of the same size: where the second lies depends on the first's
        let picture = |changed: bool, width: u32, height: u32| {
            let mut picture = reference(width, height);
            if changed {
                picture.iter_mut().for_each(|sample| *sample = !*sample);
            }
            Some(picture)
        };
        let run = |first: bool, second: bool| {
            let left = columns(|column| f32::from(column < 2));
            let right = columns(|column| f32::from(column >= 2));
            let mut request = gated(request().steps(1), [left, right])
                .site_scale(SiteSelector::all(), 0.0)
                .site_scale(SiteSelector::named(last.clone()), 1.0);
            // what one reference is does not depend on the other
            request.extra.references_see = ReferenceSight::NotEachOther;
            request.concepts[0].image = picture(first, 40, 90);
            request.concepts[1].image = picture(second, 64, 20);
            latents(&flux, &request)
        };
        // 6 x 8 cells a channel
        let half = |latents: &[f32], left: bool| -> Vec<f32> {
            let cells = latents.iter().enumerate();
            let here = cells.filter(|(index, _)| (index % 8 < 4) == left);
            here.map(|(_, value)| *value).collect()
        };
        let both = run(false, false);
        let other = run(true, false);
        assert_eq!(half(&both, false), half(&other, false), "{reader}, right");
        assert_ne!(half(&both, true), half(&other, true), "{reader}, left");
        let other = run(false, true);
        assert_eq!(half(&both, true), half(&other, true), "{reader}, left");
        assert_ne!(half(&both, false), half(&other, false), "{reader}, right");
    }
}

#[test]
fn a_picture_of_a_batch_is_that_of_its_seed() {
    for (reader, flux) in readers() {
        for mode in [Mode::Conceptrol, Mode::Adapter] {
            let alone: Vec<_> = (3..5)
                .flat_map(|seed| pictures(&flux, &request().mode(mode).seed(seed)))
                .collect();
            let together = pictures(&flux, &request().mode(mode).images_per_prompt(2));
            assert!(together == alone, "{reader}, {mode:?}");
        }
    }
}

#[test]
fn references_can_be_kept_from_each_other() {
    for (reader, flux) in readers() {
        let sees = |sight: ReferenceSight| {
            let mut request = request();
            request.extra.references_see = sight;
            latents(&flux, &request)
        };
        let all = sees(ReferenceSight::All);
        let apart = sees(ReferenceSight::NotEachOther);
        let alone = sees(ReferenceSight::Themselves);
        assert!(difference(&apart, &all) > 1e-5, "{reader}");
        assert!(difference(&alone, &apart) > 1e-5, "{reader}");
    }
}

/// Concepts that go in by different ways: one beside the latents, one in the text.
#[test]
fn readers_go_together() {
    let mut kontext = bare().adapter(redux());
    kontext.extra = kontext.extra.kind(Kind::Kontext);
    for flux in [open(options().adapter(redux())), open(kontext)] {
        let mut both = request();
        both.concepts[1] = both.concepts[1].clone().adapter(1);
        let found = latents(&flux, &both);
        let mut beside = request();
        beside.concepts.truncate(1);
        let alone = latents(&flux, &beside);
        assert!(difference(&found, &alone) > 1e-4);
        // the text stream's at no strength is as if it were not there
        both.concepts[1].scale = 0.0;
        let off = difference(&latents(&flux, &both), &alone);
        assert!(off < 1e-6, "{off}");
    }
}
