//! Where the words of concepts are in the prompts.

use crate::{
    concept::{Occurrence, PromptTokens, SpanError, TokenSpan, check_disjoint},
    models::tokenizer::EncodedPrompt,
    pipeline::{ConceptRequest, Family, Fidelity, PipelineError, Request, Words},
};

/// Where a concept's words are in a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LocatedConcept {
    /// The concept.
    pub name: String,
    /// Index of the prompt.
    pub prompt: usize,
    /// Token ranges, the start token counted where there is one.
    pub spans: Vec<TokenSpan>,
    /// The tokens there, as the vocabulary writes them.
    pub tokens: Vec<String>,
}

/// Locates every concept in every prompt: `[prompt][concept]`.
pub(super) fn locate<F: Family + ?Sized>(
    family: &F,
    request: &Request<F::Extra>,
    prompts: &[EncodedPrompt],
) -> Result<Vec<Vec<LocatedConcept>>, PipelineError> {
    let locate_in = |(index, prompt): (usize, &EncodedPrompt)| {
        let located = request.concepts.iter().map(|concept| {
            let spans = spans(family, concept, &prompt.tokens, request.fidelity)?;
            Ok(LocatedConcept {
                name: concept.name.clone(),
                prompt: index,
                tokens: spans
                    .iter()
                    .flat_map(|span| words(&prompt.tokens, *span))
                    .collect(),
                spans,
            })
        });
        let located: Vec<LocatedConcept> = located.collect::<Result<_, PipelineError>>()?;
        if request.fidelity == Fidelity::Paper {
            let claims: Vec<_> = located
                .iter()
                .map(|located| (located.name.as_str(), located.spans.as_slice()))
                .collect();
            check_disjoint(&claims).map_err(PipelineError::Overlap)?;
        }
        Ok(located)
    };
    prompts.iter().enumerate().map(locate_in).collect()
}

fn spans<F: Family + ?Sized>(
    family: &F,
    concept: &ConceptRequest,
    tokens: &PromptTokens,
    fidelity: Fidelity,
) -> Result<Vec<TokenSpan>, PipelineError> {
    let spans = match &concept.words {
        Words::Named(occurrence) => {
            let phrase = family.phrase(&concept.name)?;
            match fidelity {
                Fidelity::Paper => tokens.find(&phrase, *occurrence),
                Fidelity::Authors if *occurrence != Occurrence::Nth(0) => {
                    return Err(PipelineError::Unsupported {
                        family: "the authors' look-up of words",
                        what: format!("occurrence of `{}` but the first", concept.name),
                    });
                }
                Fidelity::Authors => tokens.find_as_authors(&phrase).map(|span| vec![span]),
            }
        }
        Words::Bytes(bytes) => tokens.at_bytes(bytes.clone()).map(|span| vec![span]),
        Words::Tokens(range) => tokens.at_tokens(range.clone()).map(|span| vec![span]),
        Words::Everywhere => Ok(Vec::new()),
    };
    spans.map_err(|source: SpanError| PipelineError::Concept {
        concept: concept.name.clone(),
        source,
    })
}

/// The tokens of a span, as the vocabulary writes them.
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
