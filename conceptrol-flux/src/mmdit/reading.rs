//! How reference pictures beside the latents pass through the transformer.

use conceptrol_core::Ground;

use super::linear::Stream;

/// What the tokens of reference pictures are to the transformer; part of what it, or its adapter, was trained with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Reading {
    /// Finished pictures: noise level 0, and the [adapters](super::Adapters) for condition tokens. OminiControl.
    #[default]
    Finished,
    /// More of the latents: their noise level and weights. What a plan adds to the whole picture is added to them, too; what
    /// keeps to a concept is not. Kontext.
    LikeLatents,
}

impl Reading {
    /// The stream of such tokens.
    pub(crate) const fn stream(self) -> Stream {
        match self {
            Self::Finished => Stream::Condition,
            Self::LikeLatents => Stream::Main(Ground::Whole),
        }
    }
}
