//! The token sequence of a generation.

use burn::tensor::{Device, FloatDType, Tensor};
use conceptrol_core::{Grid, TokenLayout, TokenStream};

use crate::config::FluxConfig;
use crate::latents::{grid_positions, text_positions};
use crate::mmdit::Rotary;
use crate::omini::{Condition, Placement};
use crate::pipeline::text::Text;

/// A reference picture as tokens, and which of the others they travel with.
#[derive(Debug, Clone)]
pub(super) enum Reference {
    /// With the latents.
    Beside(Condition),
    /// With the text, among which they stand already.
    InText(Condition),
}

impl Reference {
    pub(super) const fn condition(&self) -> &Condition {
        match self {
            Self::Beside(condition) | Self::InText(condition) => condition,
        }
    }

    const fn stream(&self) -> TokenStream {
        match self {
            Self::Beside(_) => TokenStream::Latents,
            Self::InText(_) => TokenStream::Text,
        }
    }
}

/// Layout and rotations of `[text | pictures in it | latents | pictures beside them]`, and the tokens that are the same at
/// every step.
#[derive(Debug, Clone)]
pub(super) struct Sequence {
    pub(super) layout: TokenLayout,
    pub(super) rotary: Rotary,
    pub(super) text: Text,
    /// `[rows, condition tokens, in_channels]`
    pub(super) condition: Option<Tensor<3>>,
}

/// What a sequence is made for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outline<'a> {
    pub(super) config: &'a FluxConfig,
    pub(super) placement: Placement,
    /// Tokens of the picture that one of a reference covers along a side.
    pub(super) position_scale: f64,
    pub(super) rows: usize,
    pub(super) text_tokens: usize,
    pub(super) grid: Grid,
    pub(super) device: &'a Device,
    pub(super) dtype: FloatDType,
}

impl Sequence {
    /// `text` has the tokens of the references within it.
    pub(super) fn new(outline: Outline<'_>, text: Text, references: &[Reference]) -> Self {
        let Outline { grid, dtype, .. } = outline;
        let beside = references.iter().filter_map(|reference| match reference {
            Reference::Beside(condition) => Some(condition),
            Reference::InText(_) => None,
        });
        let (grids, tokens): (Vec<Grid>, Vec<_>) = beside
            .map(|condition| {
                let tokens = condition.tokens.clone();
                let rows = tokens.repeat_dim(0, outline.rows);
                (condition.grid, rows.cast(dtype))
            })
            .unzip();
        let all = references.iter();
        let all = all.map(|reference| (reference.stream(), reference.condition().grid));
        let layout = TokenLayout::joint_in(outline.text_tokens, grid, all);
        let mut positions = text_positions(layout.text_stream_len());
        positions.extend(grid_positions(grid));
        let (placement, scale) = (outline.placement, outline.position_scale);
        let beside = placement.scaled_positions(grid, &grids, scale);
        positions.extend(beside.into_iter().flatten());
        let axes = outline.config.axes_dims_rope;
        Self {
            rotary: Rotary::new(&positions, axes, outline.device, dtype),
            layout,
            text: Text {
                tokens: text.tokens.cast(dtype),
                pooled: text.pooled.cast(dtype),
            },
            condition: (!tokens.is_empty()).then(|| Tensor::cat(tokens, 1)),
        }
    }
}
