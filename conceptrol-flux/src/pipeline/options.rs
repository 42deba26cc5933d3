//! What loading and requests have for FLUX only.

use conceptrol_core::{
    models::weights::Keep,
    pipeline::RequestExtra,
    processors::{ReferenceSight, TextSight},
};

use crate::omini::{ConditionSize, Placement};
use crate::pipeline::{Kind, ReduxOptions};

/// Most text tokens the published models were trained with.
pub(super) const TEXT_LIMIT: usize = 512;

/// What [`LoadOptions`](conceptrol_core::pipeline::LoadOptions) have for FLUX only.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FluxOptions {
    /// Which model it is; what the class in `model_index.json` says if `None`. For a transformer in a file of its own beside
    /// the folder of another model.
    pub kind: Option<Kind>,
    /// Where reference pictures lie beside the picture: what the adapter was trained with. If `None`,
    /// [right](Placement::RightOfPicture) of it for OminiControl, on a [canvas](Placement::Canvas) of their own for Kontext.
    pub placement: Option<Placement>,
    /// Tokens of the picture that a token of a reference beside it covers along a side, OminiControl2's `position_scale`:
    /// 2 for adapters that read references at half the size.
    pub position_scale: f64,
    /// Whether OminiControl was trained with references that see themselves alone (OminiControl2). Their keys and values
    /// are then the same at every step: they are computed once and kept, for 512 x 512 pixels 1.4 GB of FLUX.1 in f32.
    pub independent_conditions: bool,
    /// What the weights of transformer and T5 take in memory: by default what they take in their files, where that is less
    /// than numbers of the type that is computed in. Low-rank adapters are then not merged into the transformer, but act beside
    /// it always; a weight of T5 that one changes takes the type that is computed in.
    pub weights: Keep,
}

impl Default for FluxOptions {
    fn default() -> Self {
        Self {
            kind: None,
            placement: None,
            position_scale: 1.0,
            independent_conditions: false,
            weights: Keep::Stored,
        }
    }
}

impl FluxOptions {
    /// Sets which model it is.
    pub fn kind(mut self, kind: Kind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Sets where reference pictures lie.
    pub fn placement(mut self, placement: Placement) -> Self {
        self.placement = Some(placement);
        self
    }

    /// Sets how many tokens of the picture one of a reference covers along a side.
    pub fn position_scale(mut self, scale: f64) -> Self {
        self.position_scale = scale;
        self
    }

    /// Sets what the weights of transformer and T5 take in memory.
    pub fn weights(mut self, keep: Keep) -> Self {
        self.weights = keep;
        self
    }

    /// Sets whether references see themselves alone.
    pub fn independent_conditions(mut self, independent: bool) -> Self {
        self.independent_conditions = independent;
        self
    }
}

/// What a [request](super::Request) has for FLUX only.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Extra {
    /// Number of T5 tokens, diffusers' `max_sequence_length`. If `None`, what the tokenizer's configuration has as
    /// `model_max_length`, at most 512.
    pub text_tokens: Option<usize>,
    /// Size at which reference pictures are read. If `None`, about 512 x 512 pixels for OminiControl, or those of the
    /// autoencoder's training where they are fewer (where
    /// [`Fidelity::Authors`](conceptrol_core::pipeline::Fidelity::Authors) always reads 512 x 512), and the
    /// [preferred](ConditionSize::Preferred) size for Kontext.
    pub condition_size: Option<ConditionSize>,
    /// Pixels of the picture: its size becomes that of the request's aspect, or the first reference's, with
    /// [about this area](crate::kontext::output_size). diffusers' `max_area`. If `None`, a size that is asked for is made as
    /// it is; without one Kontext makes [`MAX_AREA`](crate::kontext::MAX_AREA) pixels of the first reference's aspect.
    pub max_area: Option<usize>,
    /// What reference pictures in the sequence see beside themselves; an adapter with
    /// [independent conditions](FluxOptions::independent_conditions) says that itself.
    pub references_see: ReferenceSight,
    /// Which text sees a reference in the sequence that keeps to a concept.
    pub seen_by: TextSight,
    /// Pictures in the text stream.
    pub redux: ReduxOptions,
    /// Whether the text rows of single blocks look at the pictures of `InstantX`'s IP-Adapter as well, as strongly as they act,
    /// whatever the concept's mask: so it does in the official code. Without them a mask of zeros is no adapter at all.
    pub text_rows: bool,
}

impl RequestExtra for Extra {}

impl Default for Extra {
    fn default() -> Self {
        Self {
            text_tokens: None,
            condition_size: None,
            max_area: None,
            references_see: ReferenceSight::default(),
            seen_by: TextSight::default(),
            redux: ReduxOptions::default(),
            text_rows: true,
        }
    }
}

impl Extra {
    /// Sets the number of T5 tokens.
    pub fn text_tokens(mut self, tokens: usize) -> Self {
        self.text_tokens = Some(tokens);
        self
    }

    /// Sets whether text rows of single blocks look at the pictures of `InstantX`'s IP-Adapter.
    pub fn text_rows(mut self, text_rows: bool) -> Self {
        self.text_rows = text_rows;
        self
    }

    /// Sets the size at which reference pictures are read.
    pub fn condition_size(mut self, size: ConditionSize) -> Self {
        self.condition_size = Some(size);
        self
    }

    /// Sets the number of pixels of the picture.
    pub fn max_area(mut self, pixels: usize) -> Self {
        self.max_area = Some(pixels);
        self
    }

    /// Sets what reference pictures in the sequence see.
    pub fn references_see(mut self, sight: ReferenceSight) -> Self {
        self.references_see = sight;
        self
    }

    /// Sets which text sees a reference that keeps to a concept.
    pub fn seen_by(mut self, text: TextSight) -> Self {
        self.seen_by = text;
        self
    }

    /// Sets what there is to say about pictures in the text stream.
    pub fn redux(mut self, redux: ReduxOptions) -> Self {
        self.redux = redux;
        self
    }
}
