//! What loading and requests have for FLUX only.

use crate::omini::{ConditionSize, Placement};

/// Most text tokens the published models were trained with.
pub(super) const TEXT_LIMIT: usize = 512;

/// What [`LoadOptions`](conceptrol_core::pipeline::LoadOptions) have for FLUX only.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct FluxOptions {
    /// Where reference pictures lie beside the picture: what the adapter was trained with.
    pub placement: Placement,
}

impl FluxOptions {
    /// Sets where reference pictures lie.
    pub fn placement(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }
}

/// What a [request](super::Request) has for FLUX only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Extra {
    /// Number of T5 tokens, diffusers' `max_sequence_length`.
    pub text_tokens: usize,
    /// Size at which reference pictures are read;
    /// [`Fidelity::Authors`](conceptrol_core::pipeline::Fidelity::Authors) always reads 512 x 512.
    pub condition_size: ConditionSize,
    /// Whether the text rows of single blocks look at the pictures of `InstantX`'s IP-Adapter as well, as strongly as they act,
    /// whatever the concept's mask: so it does in the official code. Without them a mask of zeros is no adapter at all.
    pub text_rows: bool,
}

impl Default for Extra {
    fn default() -> Self {
        Self {
            text_tokens: TEXT_LIMIT,
            condition_size: ConditionSize::default(),
            text_rows: true,
        }
    }
}

impl Extra {
    /// Sets the number of T5 tokens.
    pub fn text_tokens(mut self, tokens: usize) -> Self {
        self.text_tokens = tokens;
        self
    }

    /// Sets whether text rows of single blocks look at the pictures of `InstantX`'s IP-Adapter.
    pub fn text_rows(mut self, text_rows: bool) -> Self {
        self.text_rows = text_rows;
        self
    }

    /// Sets the size at which reference pictures are read.
    pub fn condition_size(mut self, size: ConditionSize) -> Self {
        self.condition_size = size;
        self
    }
}
