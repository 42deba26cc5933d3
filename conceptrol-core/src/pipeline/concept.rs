//! Concepts as they are asked for.

use std::ops::Range;

use image::RgbImage;

use crate::{
    concept::{MaskRole, Occurrence},
    mask::ConceptMask,
    pipeline::{Identity, PipelineError},
};

/// Which words of a prompt a concept stands for.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Words {
    /// An occurrence of the concept's name.
    Named(Occurrence),
    /// The words at these bytes of the prompt.
    Bytes(Range<usize>),
    /// These tokens, the start token counted where there is one.
    Tokens(Range<usize>),
    /// Several words, next to each other or not, that count differently in the mean over the concept's words: a head noun
    /// and, for less, what describes it. The name is then a name only.
    Weighted(Vec<WeightedWords>),
    /// None: the picture acts everywhere, which only [`Mode::Adapter`](super::Mode::Adapter) allows.
    Everywhere,
}

/// Words of the prompt and what they count.
///
/// ```
/// use conceptrol_core::pipeline::{ConceptRequest, WeightedWords, Words};
///
/// // of "a shaggy old dog with a red collar": mostly the dog, a little its hair
/// let words = vec![WeightedWords::new("dog", 1.0), WeightedWords::new("shaggy", 0.3)];
/// let dog = ConceptRequest::words_only("the dog").words(Words::Weighted(words));
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct WeightedWords {
    /// As they stand in the prompt.
    pub phrase: String,
    /// Which occurrence of them is meant.
    pub occurrence: Occurrence,
    /// What they count: above 0. Only the ratios of a concept's weights matter.
    pub weight: f32,
}

impl WeightedWords {
    /// The first occurrence of a phrase.
    pub fn new(phrase: impl Into<String>, weight: f32) -> Self {
        Self {
            phrase: phrase.into(),
            occurrence: Occurrence::Nth(0),
            weight,
        }
    }

    /// Sets which occurrence is meant.
    pub const fn occurrence(mut self, occurrence: Occurrence) -> Self {
        self.occurrence = occurrence;
        self
    }
}

/// What messages call weighted words.
pub(super) const WEIGHTED: &str = "the weighted words of a concept";

/// A concept of the prompt and the picture it is to look like.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConceptRequest {
    /// The phrase, as it stands in the prompt.
    pub name: String,
    /// Which words of the prompt it means.
    pub words: Words,
    /// The reference picture; every mode but [`Mode::TextOnly`](super::Mode::TextOnly) needs one.
    pub image: Option<RgbImage>,
    /// Further pictures of the same thing, for adapters that read several: their tokens are keys of one attention.
    pub more_images: Vec<RgbImage>,
    /// What the unconditional half of guidance sees instead, for adapters that read a picture there; a black one if `None`.
    pub negative_image: Option<RgbImage>,
    /// Whose face it is, for adapters that read the embedding of one (`FaceID`).
    pub identity: Option<Identity>,
    /// Factor on the strength of its condition.
    pub scale: f32,
    /// Where it may act.
    pub mask: Option<ConceptMask>,
    /// Whether that mask bounds what attention says, or takes its place.
    pub mask_role: MaskRole,
    /// Which of the loaded adapters carries it.
    pub adapter: usize,
}

impl ConceptRequest {
    /// The first occurrence of `phrase` is to look like `image`.
    pub fn new(phrase: impl Into<String>, image: RgbImage) -> Self {
        Self {
            image: Some(image),
            ..Self::words_only(phrase)
        }
    }

    /// The first occurrence of `phrase`, without a picture: to watch where it acts.
    pub fn words_only(phrase: impl Into<String>) -> Self {
        Self {
            name: phrase.into(),
            words: Words::Named(Occurrence::Nth(0)),
            image: None,
            more_images: Vec::new(),
            negative_image: None,
            identity: None,
            scale: 1.0,
            mask: None,
            mask_role: MaskRole::default(),
            adapter: 0,
        }
    }

    /// The first occurrence of `phrase` is to be this person.
    pub fn person(phrase: impl Into<String>, identity: Identity) -> Self {
        Self::words_only(phrase).identity(identity)
    }

    /// Sets whose face it is.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Adds a further picture of the same thing.
    pub fn another_image(mut self, image: RgbImage) -> Self {
        self.more_images.push(image);
        self
    }

    /// Sets what the unconditional half of guidance sees.
    pub fn negative_image(mut self, image: RgbImage) -> Self {
        self.negative_image = Some(image);
        self
    }

    /// Sets which words of the prompt it means.
    pub fn words(mut self, words: Words) -> Self {
        self.words = words;
        self
    }

    /// Sets which occurrence of its name it means, counted from 0.
    pub fn occurrence(self, index: usize) -> Self {
        self.words(Words::Named(Occurrence::Nth(index)))
    }

    /// Sets the factor on the strength of its condition.
    pub fn scale(mut self, scale: f32) -> Self {
        self.scale = scale;
        self
    }

    /// Sets where it may act: within this mask, where attention says.
    pub fn mask(mut self, mask: ConceptMask) -> Self {
        self.mask = Some(mask);
        self
    }

    /// Sets whether the mask bounds what attention says, or takes its place.
    pub fn mask_role(mut self, role: MaskRole) -> Self {
        self.mask_role = role;
        self
    }

    /// Sets which of the loaded adapters carries it.
    pub fn adapter(mut self, adapter: usize) -> Self {
        self.adapter = adapter;
        self
    }

    /// All its pictures.
    pub fn images(&self) -> impl Iterator<Item = &RgbImage> {
        self.image.iter().chain(&self.more_images)
    }

    /// Whether there is something it is to look like.
    pub const fn has_reference(&self) -> bool {
        self.image.is_some() || self.identity.is_some()
    }

    pub(super) fn check(&self) -> Result<(), PipelineError> {
        if let Words::Weighted(parts) = &self.words {
            let bad = |part: &&WeightedWords| !(part.weight.is_finite() && part.weight > 0.0);
            if parts.is_empty() {
                return Err(PipelineError::bad_request(WEIGHTED, "none", "at least one"));
            }
            if let Some(part) = parts.iter().find(bad) {
                let found = format!("{} for `{}`", part.weight, part.phrase);
                let expected = "finite numbers above 0";
                return Err(PipelineError::bad_request(WEIGHTED, found, expected));
            }
        }
        if !self.scale.is_finite() {
            let name = "the scale of a concept";
            return Err(PipelineError::bad_request(name, self.scale, "finite"));
        }
        if self.image.is_none() && !(self.more_images.is_empty() && self.negative_image.is_none()) {
            return Err(PipelineError::NoPicture {
                concept: self.name.clone(),
            });
        }
        Ok(())
    }
}
