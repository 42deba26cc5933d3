//! Where the words of concepts are in the prompts.

use crate::{
    concept::{Occurrence, PromptTokens, SpanError, TokenSpan, check_disjoint},
    models::tokenizer::EncodedPrompt,
    pipeline::{
        ConceptRequest, Family, Fidelity, PipelineError, Request, Words, concept::WEIGHTED,
    },
};

/// Where a concept's words are in a prompt.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LocatedConcept {
    /// The concept.
    pub name: String,
    /// Index of the prompt.
    pub prompt: usize,
    /// Token ranges of the text that is attended to, the start token counted where there is one. Words of a prompt that is
    /// read in chunks may lie in two of them.
    pub spans: Vec<TokenSpan>,
    /// What the words of each range count in the mean over the concept's words; 1 unless they are
    /// [weighted](Words::Weighted).
    pub weights: Vec<f32>,
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
            let found = weighted(family, concept, &prompt.tokens, request.fidelity)?;
            let mut located = LocatedConcept {
                name: concept.name.clone(),
                prompt: index,
                spans: Vec::new(),
                weights: Vec::new(),
                tokens: Vec::new(),
            };
            for (span, weight) in found {
                located.tokens.extend(words(&prompt.tokens, span));
                let pieces = prompt.tokens.in_sequence(span);
                located.weights.extend(pieces.iter().map(|_| weight));
                located.spans.extend(pieces);
            }
            Ok(located)
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

/// The words of a concept and what they count, in the prompt's own numbering.
fn weighted<F: Family + ?Sized>(
    family: &F,
    concept: &ConceptRequest,
    tokens: &PromptTokens,
    fidelity: Fidelity,
) -> Result<Vec<(TokenSpan, f32)>, PipelineError> {
    let Words::Weighted(parts) = &concept.words else {
        let spans = spans(family, &concept.name, &concept.words, tokens, fidelity)?;
        return Ok(spans.into_iter().map(|span| (span, 1.0)).collect());
    };
    let mut all: Vec<(TokenSpan, f32)> = Vec::new();
    for part in parts {
        let words = Words::Named(part.occurrence);
        for span in spans(family, &part.phrase, &words, tokens, fidelity)? {
            if let Some((other, _)) = all.iter().find(|(other, _)| other.overlaps(span)) {
                let found = format!("`{}` twice, at tokens {other} and {span}", part.phrase);
                let expected = "each word once";
                return Err(PipelineError::bad_request(WEIGHTED, found, expected));
            }
            all.push((span, part.weight));
        }
    }
    Ok(all)
}

fn spans<F: Family + ?Sized>(
    family: &F,
    name: &str,
    words: &Words,
    tokens: &PromptTokens,
    fidelity: Fidelity,
) -> Result<Vec<TokenSpan>, PipelineError> {
    let spans = match words {
        Words::Named(occurrence) => {
            let phrase = family.phrase(name)?;
            match fidelity {
                Fidelity::Paper => tokens.find(&phrase, *occurrence),
                Fidelity::Authors if *occurrence != Occurrence::Nth(0) => {
                    return Err(PipelineError::Unsupported {
                        family: "the authors' look-up of words",
                        what: format!("occurrence of `{name}` but the first"),
                    });
                }
                Fidelity::Authors => tokens.find_as_authors(&phrase).map(|span| vec![span]),
            }
        }
        Words::Bytes(bytes) => tokens.at_bytes(bytes.clone()).map(|span| vec![span]),
        Words::Tokens(range) => tokens.at_tokens(range.clone()).map(|span| vec![span]),
        Words::Everywhere | Words::Weighted(_) => Ok(Vec::new()),
    };
    spans.map_err(|source: SpanError| PipelineError::Concept {
        concept: name.to_owned(),
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
