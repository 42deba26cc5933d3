//! Concepts as they are asked for, and where their words were found.

use std::ops::Range;

use conceptrol_core::{
    Occurrence, PromptTokens, SpanError, TokenSpan, check_disjoint, mask::ConceptMask,
    models::tokenizer::ClipTokenizer, pipeline::Fidelity,
};
use image::RgbImage;

use crate::pipeline::PipelineError;

/// Which words of a prompt a concept stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Words {
    /// An occurrence of the concept's name.
    Named(Occurrence),
    /// The words at these bytes of the prompt.
    Bytes(Range<usize>),
    /// These tokens, the start token counted.
    Tokens(Range<usize>),
    /// None: the picture acts everywhere, which only [`Mode::IpAdapter`](super::Mode::IpAdapter) allows.
    Everywhere,
}

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
    /// Factor on the strength of its condition.
    pub scale: f32,
    /// Where it may act, instead of what attention says.
    pub mask: Option<ConceptMask>,
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
            scale: 1.0,
            mask: None,
            adapter: 0,
        }
    }

    /// Sets which words of the prompt it means.
    pub fn words(mut self, words: Words) -> Self {
        self.words = words;
        self
    }

    /// Sets the factor on the strength of its condition.
    pub const fn scale(mut self, scale: f32) -> Self {
        self.scale = scale;
        self
    }

    /// Sets where it may act, instead of what attention says.
    pub fn mask(mut self, mask: ConceptMask) -> Self {
        self.mask = Some(mask);
        self
    }

    /// Sets which of the loaded adapters carries it.
    pub const fn adapter(mut self, adapter: usize) -> Self {
        self.adapter = adapter;
        self
    }

    pub(crate) fn check(&self) -> Result<(), PipelineError> {
        if self.scale.is_finite() {
            return Ok(());
        }
        Err(PipelineError::bad_request(
            "the scale of a concept",
            self.scale,
            "finite",
        ))
    }
}

/// Where a concept's words are in a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FoundConcept {
    /// The concept.
    pub name: String,
    /// Index of the prompt.
    pub prompt: usize,
    /// Token ranges, the start token counted.
    pub spans: Vec<TokenSpan>,
    /// The tokens there, as the vocabulary writes them.
    pub tokens: Vec<String>,
}

/// Finds every concept in every prompt: `[prompt][concept]`.
pub(super) fn find_concepts(
    prompts: &[String],
    concepts: &[ConceptRequest],
    tokenizer: &ClipTokenizer,
    fidelity: Fidelity,
) -> Result<Vec<Vec<FoundConcept>>, PipelineError> {
    let find_in = |(index, prompt): (usize, &String)| {
        let tokens = tokenizer.encode(prompt).tokens;
        let find = |concept: &ConceptRequest| {
            let spans = spans(concept, &tokens, tokenizer, fidelity).map_err(|source| {
                PipelineError::Concept {
                    concept: concept.name.clone(),
                    source,
                }
            })?;
            Ok(FoundConcept {
                name: concept.name.clone(),
                prompt: index,
                tokens: spans
                    .iter()
                    .flat_map(|span| words(&tokens, *span))
                    .collect(),
                spans,
            })
        };
        let found: Vec<FoundConcept> = concepts
            .iter()
            .map(find)
            .collect::<Result<_, PipelineError>>()?;
        if fidelity == Fidelity::Paper {
            let claims: Vec<_> = found
                .iter()
                .map(|found| (found.name.as_str(), found.spans.as_slice()))
                .collect();
            check_disjoint(&claims).map_err(PipelineError::Overlap)?;
        }
        Ok(found)
    };
    prompts.iter().enumerate().map(find_in).collect()
}

fn spans(
    concept: &ConceptRequest,
    tokens: &PromptTokens,
    tokenizer: &ClipTokenizer,
    fidelity: Fidelity,
) -> Result<Vec<TokenSpan>, SpanError> {
    match &concept.words {
        Words::Named(occurrence) => {
            let phrase = tokenizer.tokens(&concept.name);
            match fidelity {
                Fidelity::Paper => tokens.find(&phrase, *occurrence),
                Fidelity::Authors => Ok(vec![tokens.find_as_authors(&phrase)?]),
            }
        }
        Words::Bytes(bytes) => Ok(vec![tokens.at_bytes(bytes.clone())?]),
        Words::Tokens(range) => Ok(vec![tokens.at_tokens(range.clone())?]),
        Words::Everywhere => Ok(Vec::new()),
    }
}

fn words(tokens: &PromptTokens, span: TokenSpan) -> Vec<String> {
    let first = tokens.style().first_index();
    let at = |index: usize| {
        tokens
            .tokens()
            .get(index.checked_sub(first)?)
            .map(|token| token.text.clone())
    };
    span.range().filter_map(at).collect()
}
