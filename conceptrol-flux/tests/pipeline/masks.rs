//! Where a concept acts: the concept block, masks of the user, sources of an application.

use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::{Device, Tensor};
use conceptrol_core::{
    Grid, MaskError, MaskRole, SiteSelector,
    mask::{ConceptBlock, ConceptMask, ConceptMaskSource, MaskBoard, MaskQuery, Product},
    message::chain,
    pipeline::{Family, Fidelity, Pipeline},
};
use conceptrol_flux::{Flux, pipeline::Request};

use crate::tiny::{difference, flux, generate, latents, numbers, one_concept, request};

/// Tokens of the pictures.
const GRID: Grid = Grid::new(3, 4);

/// 1 in the left half, 0 in the right.
fn left(grid: Grid) -> ConceptMask {
    let cells = (0..grid.cells()).map(|cell| f32::from(cell % grid.width < grid.width / 2));
    let cells: Vec<f32> = cells.collect();
    let row = Tensor::<1>::from_floats(cells.as_slice(), &Device::flex());
    ConceptMask::new(row.unsqueeze(), grid).expect("as many cells")
}

/// What an application writes: the left half for every concept.
#[derive(Debug, Default)]
struct LeftHalf {
    asked: AtomicUsize,
}

impl ConceptMaskSource for LeftHalf {
    fn mask(
        &self,
        query: &MaskQuery<'_>,
        _board: &mut MaskBoard,
    ) -> Result<Option<ConceptMask>, MaskError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        assert_eq!(query.grid(), GRID);
        Ok(Some(left(query.grid())))
    }
}

fn block(flux: &Flux) -> ConceptBlock {
    flux.concept_block(Fidelity::Paper).expect("FLUX has one")
}

fn masked(mask: ConceptMask, role: MaskRole) -> Request {
    let mut request = one_concept();
    request.concepts[0] = request.concepts[0].clone().mask(mask).mask_role(role);
    request
}

#[test]
fn any_site_can_be_the_concept_block() {
    let flux = flux();
    let at = |site: &str| request().mask_source(ConceptBlock::joint(SiteSelector::named(site)));
    let expected = latents(&flux, &request());
    assert_eq!(latents(&flux, &at("transformer_blocks.2.attn")), expected);
    let first = latents(&flux, &at("transformer_blocks.0.attn"));
    assert!(difference(&first, &expected) > 1e-4);
    let error = flux
        .plan(&at("transformer_blocks.3.attn"))
        .expect_err("refused");
    let message = chain(&error);
    assert!(message.contains("transformer_blocks.3.attn"), "{message}");
}

#[test]
fn each_concept_publishes_its_mask_at_the_concept_block() {
    let flux = flux();
    let generation = generate(&flux, &request());
    let [first, second] = generation.masks.as_slice() else {
        panic!("a mask a concept, not {}", generation.masks.len())
    };
    let values = |mask: &Option<ConceptMask>| {
        let mask = mask.as_ref().expect("published");
        assert_eq!(mask.grid(), GRID);
        let stamp = mask.stamp().expect("read from attention");
        let site = flux.attention_sites().get(stamp.site).expect("a site");
        assert_eq!(
            (site.name.as_str(), stamp.step),
            ("transformer_blocks.2.attn", 1)
        );
        let values = mask.values().to_data().try_to_vec::<f32>().expect("f32");
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        assert!((mean - 1.0).abs() < 1e-5, "the mean is {mean}");
        values
    };
    assert_ne!(values(first), values(second));
}

#[test]
fn a_mask_of_ones_changes_nothing() {
    let flux = flux();
    let ones = ConceptMask::new(Tensor::ones([1, GRID.cells()], &Device::flex()), GRID);
    let within = masked(ones.expect("as many cells"), MaskRole::Within);
    assert_eq!(latents(&flux, &within), latents(&flux, &one_concept()));
}

#[test]
fn a_users_mask_bounds_the_concepts() {
    let flux = flux();
    let free = latents(&flux, &one_concept());
    // drawn at the size of the picture, or on the grid of the tokens
    let drawn = masked(left(Grid::new(48, 64)), MaskRole::Within);
    let within = generate(&flux, &drawn);
    assert!(within.masks[0].is_some(), "the concept block is read");
    let within = numbers(&within);
    assert!(difference(&within, &free) > 1e-4);
    let on_grid = masked(left(GRID), MaskRole::Within);
    assert_eq!(latents(&flux, &on_grid), within);
    // the same as the product that an application would write
    let product = one_concept().mask_source(Product(LeftHalf::default(), block(&flux)));
    assert_eq!(latents(&flux, &product), within);
}

#[test]
fn a_users_mask_can_take_the_place_of_the_concepts() {
    let flux = flux();
    let generation = generate(&flux, &masked(left(GRID), MaskRole::Instead));
    assert!(generation.masks[0].is_none(), "attention is not read");
    let instead = numbers(&generation);
    let within = latents(&flux, &masked(left(GRID), MaskRole::Within));
    assert!(difference(&instead, &within) > 1e-4);
    let source = one_concept().mask_source(LeftHalf::default());
    assert_eq!(latents(&flux, &source), instead);
}

#[test]
fn a_mask_of_one_concept_leaves_the_other_to_attention() {
    let flux = flux();
    let mut both = request();
    both.concepts[0] = both.concepts[0]
        .clone()
        .mask(left(GRID))
        .mask_role(MaskRole::Instead);
    let generation = generate(&flux, &both);
    assert!(generation.masks[0].is_none() && generation.masks[1].is_some());
    assert!(difference(&numbers(&generation), &latents(&flux, &request())) > 1e-4);
}

#[test]
fn a_source_is_asked_at_every_site_and_step_for_every_concept() {
    let flux = flux();
    let source = std::sync::Arc::new(LeftHalf::default());
    let asked = request().mask_source(std::sync::Arc::clone(&source));
    let masked = latents(&flux, &asked);
    assert!(difference(&masked, &latents(&flux, &request())) > 1e-4);
    let sites = flux.attention_sites().len();
    assert_eq!(source.asked.load(Ordering::Relaxed), 2 * sites * 2);
}
