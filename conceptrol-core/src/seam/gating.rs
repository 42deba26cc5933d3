//! Where a concept acts in the output of a module.

use burn::tensor::{DType, Device, Tensor};

use crate::{
    concept::Concept,
    mask::{ConceptMask, MaskBoard, MaskNorm, ResizeFilter},
    seam::{BatchLayout, Grid, Ground},
};

/// The gate of concept number `index` for every row and token, `[rows, tokens]`; nothing where it does not act at all. It is
/// made once for each ground, until another mask of the concept is published.
pub(super) fn gate(
    concept: &Concept,
    index: usize,
    ground: Ground,
    tokens: usize,
    batch: BatchLayout,
    board: &mut MaskBoard,
    device: &Device,
) -> Option<Tensor<2>> {
    if let Some(kept) = board.gate(index, ground, tokens) {
        return Some(kept.clone());
    }
    let gate = make(concept, index, ground, tokens, batch, board, device)?;
    board.keep_gate(index, ground, tokens, gate.clone());
    Some(gate)
}

fn make(
    concept: &Concept,
    index: usize,
    ground: Ground,
    tokens: usize,
    batch: BatchLayout,
    board: &mut MaskBoard,
    device: &Device,
) -> Option<Tensor<2>> {
    match ground {
        Ground::Whole => None,
        Ground::Text => Some(words(concept, tokens, batch, device)),
        Ground::Latents(grid) => {
            let mask = mask(concept, index, grid, board, device)?;
            Some(every_row(mask, batch))
        }
        Ground::Joint { text, grid } => {
            let words = words(concept, text, batch, device);
            let latents = match mask(concept, index, grid, board, device) {
                Some(mask) => every_row(mask, batch),
                None => Tensor::zeros([batch.rows(), grid.cells()], (device, DType::F32)),
            };
            Some(Tensor::cat(vec![words, latents], 1))
        }
    }
}

/// 1 at the concept's words in the conditional rows.
fn words(concept: &Concept, tokens: usize, batch: BatchLayout, device: &Device) -> Tensor<2> {
    let words = concept.token_indicator(batch.images, tokens, device, DType::F32);
    batch.by_role(&words, || words.zeros_like())
}

/// The mask in force on a grid, its peak 1: the latest that was read from attention, within the user's own or replaced by it.
fn mask(
    concept: &Concept,
    index: usize,
    grid: Grid,
    board: &mut MaskBoard,
    device: &Device,
) -> Option<ConceptMask> {
    let own = || {
        let own = concept.mask.clone()?.on(device);
        Some(own.resized(grid, ResizeFilter::Area))
    };
    if concept.uses_own_mask_alone() {
        return own();
    }
    let read = board.in_force(index, grid, ResizeFilter::Nearest)?;
    let read = read.normalized(MaskNorm::Max);
    Some(match own() {
        Some(own) => read.times(own),
        None => read,
    })
}

/// The rows of a picture alike, `[rows, cells]`.
fn every_row(mask: ConceptMask, batch: BatchLayout) -> Tensor<2> {
    let mask = mask.values().clone();
    let [rows, _] = mask.dims();
    mask.repeat_dim(0, batch.rows() / rows)
}
