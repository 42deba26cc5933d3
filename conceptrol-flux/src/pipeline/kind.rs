//! Which of the FLUX.1 models a folder holds.

use crate::mmdit::Reading;
use crate::omini::Placement;

/// A model of the FLUX.1 family. Its tensors do not tell: those of Kontext have the names and shapes of FLUX.1-dev's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// FLUX.1-dev, FLUX.1-schnell, FLUX.1 Fill and what was made from them. It reads reference pictures through adapters.
    TextToImage,
    /// FLUX.1 Kontext, which reads reference pictures itself.
    Kontext,
}

impl Kind {
    /// The classes of pipelines in diffusers whose folders can be opened, and the kind of each.
    const OF_CLASS: &[(&str, Self)] = &[
        ("FluxPipeline", Self::TextToImage),
        // those that start from a picture have the same parts
        ("FluxImg2ImgPipeline", Self::TextToImage),
        ("FluxInpaintPipeline", Self::TextToImage),
        ("FluxFillPipeline", Self::TextToImage),
        ("FluxKontextPipeline", Self::Kontext),
    ];

    /// Names of these classes.
    pub(super) fn classes() -> Vec<&'static str> {
        Self::OF_CLASS.iter().map(|(class, _)| *class).collect()
    }

    /// The kind of a pipeline's class.
    pub(super) fn of_class(class: &str) -> Option<Self> {
        let known = Self::OF_CLASS.iter().find(|(name, _)| *name == class);
        known.map(|(_, kind)| *kind)
    }

    /// Whether the transformer reads reference pictures without an adapter.
    pub const fn reads_references(self) -> bool {
        matches!(self, Self::Kontext)
    }

    pub(super) const fn reading(self) -> Reading {
        match self {
            Self::TextToImage => Reading::Finished,
            Self::Kontext => Reading::LikeLatents,
        }
    }

    pub(super) fn placement(self) -> Placement {
        match self {
            Self::TextToImage => Placement::default(),
            Self::Kontext => Placement::Canvas,
        }
    }
}
