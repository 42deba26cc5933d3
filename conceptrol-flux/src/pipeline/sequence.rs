//! The token sequence of a generation.

use burn::tensor::{Device, FloatDType, Tensor};
use conceptrol_core::{Grid, TokenLayout};

use crate::config::FluxConfig;
use crate::latents::{grid_positions, text_positions};
use crate::mmdit::Rotary;
use crate::omini::{Condition, Placement};

/// Layout and rotations of `[text | latents | conditions]`, and the condition tokens; the same at every step.
#[derive(Debug, Clone)]
pub(super) struct Sequence {
    pub(super) layout: TokenLayout,
    pub(super) rotary: Rotary,
    /// `[rows, condition tokens, in_channels]`
    pub(super) condition: Option<Tensor<3>>,
}

/// What a sequence is made for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outline<'a> {
    pub(super) config: &'a FluxConfig,
    pub(super) placement: Placement,
    pub(super) rows: usize,
    pub(super) text_tokens: usize,
    pub(super) grid: Grid,
    pub(super) device: &'a Device,
    pub(super) dtype: FloatDType,
}

impl Sequence {
    pub(super) fn new(outline: Outline<'_>, conditions: &[Condition]) -> Self {
        let Outline { grid, dtype, .. } = outline;
        let tokens = (conditions.iter()).map(|condition| {
            condition
                .tokens
                .clone()
                .repeat_dim(0, outline.rows)
                .cast(dtype)
        });
        let tokens: Vec<_> = tokens.collect();
        let grids: Vec<Grid> = conditions.iter().map(|condition| condition.grid).collect();
        let mut positions = text_positions(outline.text_tokens);
        positions.extend(grid_positions(grid));
        let beside = outline.placement.positions(grid, &grids);
        positions.extend(beside.into_iter().flatten());
        let axes = outline.config.axes_dims_rope;
        Self {
            rotary: Rotary::new(&positions, axes, outline.device, dtype),
            layout: TokenLayout::joint(outline.text_tokens, grid, grids),
            condition: (!tokens.is_empty()).then(|| Tensor::cat(tokens, 1)),
        }
    }
}
