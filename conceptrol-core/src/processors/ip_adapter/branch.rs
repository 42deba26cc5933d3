//! Which rows of a call the image branch is for, and how a gate acts on them.

use std::ops::Range;

use burn::tensor::{DType, FloatDType, Tensor};

use crate::{
    kernel,
    seam::{BatchLayout, Gate, TokenLayout},
};

/// The rows of a call that look at a picture: the latents, and the text before them if it looks as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rows {
    all: Range<usize>,
    /// How many of them are text; they come first.
    text: usize,
}

impl Rows {
    pub(super) fn of(layout: &TokenLayout, with_text: bool) -> Self {
        let latents = layout.latents.range.clone();
        // in cross-attention the text is among the keys alone
        let text = layout
            .text
            .clone()
            .filter(|text| with_text && text.end == latents.start);
        match text {
            Some(text) => Self {
                all: text.start..latents.end,
                text: text.len(),
            },
            None => Self {
                all: latents,
                text: 0,
            },
        }
    }

    /// Their queries, `[rows, heads, q, d]`.
    pub(super) fn of_queries(&self, query: &Tensor<4>) -> Tensor<4> {
        match query.dims()[2] {
            queries if self.all == (0..queries) => query.clone(),
            _ => query.clone().slice_dim(2, self.all.clone()),
        }
    }

    /// Those of the latents among them.
    pub(super) fn latents(&self, term: Tensor<4>) -> Tensor<4> {
        match self.text {
            0 => term,
            text => {
                let latents = self.all.len() - text;
                term.narrow(2, text, latents)
            }
        }
    }
}

/// `out` with the branch times its weights added at its rows.
pub(super) fn add_to_rows(
    out: Tensor<4>,
    branch: Tensor<4>,
    weights: Tensor<2>,
    rows: &Rows,
) -> Tensor<4> {
    let queries = out.dims()[2];
    let Range { start, end } = rows.all;
    if (start, end) == (0, queries) {
        let [batch, heads, tokens, dim] = out.dims();
        // Attention gives heads side by side, so joining them costs nothing.
        let joined = |x: Tensor<4>| x.swap_dims(1, 2).reshape([batch, tokens, heads * dim]);
        let sum = kernel::add_weighted(joined(out), joined(branch), weights);
        return sum.reshape([batch, tokens, heads, dim]).swap_dims(1, 2);
    }
    let part = |range: Range<usize>| out.clone().slice_dim(2, range);
    let parts = [
        (start > 0).then(|| part(0..start)),
        Some(part(start..end) + weighted(branch, weights)),
        (end < queries).then(|| part(end..queries)),
    ];
    Tensor::cat(parts.into_iter().flatten().collect(), 2)
}

/// The branch times a number for each row.
pub(super) fn weighted(branch: Tensor<4>, weights: Tensor<2>) -> Tensor<4> {
    let dtype = FloatDType::from(branch.dtype());
    let [rows, tokens] = weights.dims();
    branch * weights.reshape([rows, 1, tokens, 1]).cast(dtype)
}

/// What rows of a branch without a gate are multiplied with.
pub(super) fn ungated(branch: &Tensor<4>, scale: f32) -> Tensor<2> {
    let options = (&branch.device(), DType::F32);
    Tensor::full([1, branch.dims()[2]], scale, options)
}

/// The gate times `scale`, for all pictures alike or for each row, in f32 as masks are. On text rows the gate is 1.
pub(super) fn gated(gate: &Gate, rows: &Rows, batch: BatchLayout, scale: f32) -> Tensor<2> {
    let mask = gate.mask.clone() * scale;
    let [images, _] = mask.dims();
    let mask = match rows.text {
        0 => mask,
        text => {
            let options = (&mask.device(), mask.dtype());
            Tensor::cat(vec![Tensor::full([images, text], scale, options), mask], 1)
        }
    };
    // one mask for all rows broadcasts
    match images {
        1 => mask,
        _ => batch.by_role(&mask, || mask.clone()),
    }
}
