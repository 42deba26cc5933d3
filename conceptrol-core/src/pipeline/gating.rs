//! What a concept mask does to the image condition.

use crate::{
    mask::{ConceptBlock, MaskNorm},
    seam::SiteSelector,
};

/// How a concept's mask acts on its image condition, and so how it is read and normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Gating {
    /// It multiplies a term of its own: its peak is 1, a block's fresh mask counts at once, and before the first one a site reads
    /// its own (IP-Adapters).
    Factor,
    /// Its logarithm is added to the logits of condition tokens: its mean is 1, a fresh mask counts from the next site on, and
    /// before the first one it is 1 everywhere (OminiControl).
    Logits,
}

impl Gating {
    /// A concept block at these sites, as masks are read there.
    pub fn block_at(self, sites: SiteSelector) -> ConceptBlock {
        match self {
            Self::Factor => ConceptBlock::cross(sites),
            Self::Logits => ConceptBlock::joint(sites),
        }
    }

    /// How masks are normalised unless a source says otherwise.
    pub const fn norm(self) -> MaskNorm {
        match self {
            Self::Factor => MaskNorm::Max,
            Self::Logits => MaskNorm::Mean,
        }
    }
}
