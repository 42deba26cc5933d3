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
    /// The same, and they see themselves alone, so that their keys and values are the same at every step: they are computed
    /// at the first, and kept by the session. OminiControl2's independent conditions. Who installs
    /// [`JointCondition`](conceptrol_core::processors::JointConditionLayer) has to say so there as well.
    Independent,
    /// More of the latents: their noise level and weights. What a plan adds to the whole picture is added to them, too; what
    /// keeps to a concept is not. Kontext.
    LikeLatents,
}

impl Reading {
    /// Whether their keys and values are kept.
    pub(crate) const fn is_kept(self) -> bool {
        matches!(self, Self::Independent)
    }

    /// The stream of such tokens.
    pub(crate) const fn stream(self) -> Stream {
        match self {
            Self::Finished | Self::Independent => Stream::Condition,
            Self::LikeLatents => Stream::Main(Ground::Whole),
        }
    }
}
