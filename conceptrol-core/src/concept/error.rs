//! Why a concept has no place in a prompt.

use std::ops::Range;

use super::token::Token;
use crate::message::shown;

/// A concept's words could not be located.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpanError {
    /// The phrase has no tokens.
    #[error("the words of a concept are empty")]
    EmptyPhrase,
    /// A token range without tokens.
    #[error("the token range {start}..{end} is empty")]
    EmptyRange {
        /// First index.
        start: usize,
        /// Index behind the last one.
        end: usize,
    },
    /// The prompt does not contain the phrase as whole words.
    #[error(
        "`{}` is not in the prompt, whose tokens are: {}",
        shown(phrase),
        shown(tokens)
    )]
    NotFound {
        /// The phrase as its tokens spell it.
        phrase: String,
        /// The prompt's tokens, separated by spaces.
        tokens: String,
    },
    /// The prompt contains the phrase, but not that often.
    #[error(
        "occurrence {asked} of `{}` is wanted (counted from 0), but the prompt has {found}",
        shown(phrase)
    )]
    TooFew {
        /// The phrase as its tokens spell it.
        phrase: String,
        /// The occurrence asked for, counted from 0.
        asked: usize,
        /// How many there are.
        found: usize,
    },
    /// The tokens exist, but the text encoder does not see them.
    #[error(
        "`{}` is at tokens {start}..{end}, beyond the text window of tokens {first}..{last}",
        shown(phrase)
    )]
    BeyondWindow {
        /// The phrase, or the range asked for.
        phrase: String,
        /// First index of the phrase.
        start: usize,
        /// Index behind its last one.
        end: usize,
        /// First index that holds a word.
        first: usize,
        /// Index behind the last one that holds a word.
        last: usize,
    },
    /// A byte range that covers no token, or ends outside the prompt or inside a character.
    #[error("bytes {start}..{end} of the prompt cover no token (its tokens end at byte {length})")]
    NoTokenAtBytes {
        /// First byte.
        start: usize,
        /// Byte behind the last one.
        end: usize,
        /// Byte behind the last token.
        length: usize,
    },
    /// The authors' look-up gives a range without tokens, on which their code computes with NaN.
    #[error(
        "the authors' look-up of `{}` gives the empty token range {start}..{end} of {length} tokens",
        shown(phrase)
    )]
    AuthorsEmpty {
        /// The phrase as its tokens spell it.
        phrase: String,
        /// First index.
        start: usize,
        /// Index behind the last one.
        end: usize,
        /// Length of the encoder's sequence.
        length: usize,
    },
    /// Two concepts claim the same words.
    #[error(
        "the concepts `{}` (tokens {first_span:?}) and `{}` (tokens {second_span:?}) overlap: choose another occurrence of one",
        shown(first),
        shown(second)
    )]
    Overlap {
        /// One concept.
        first: String,
        /// Where it is.
        first_span: Range<usize>,
        /// The other one.
        second: String,
        /// Where that is.
        second_span: Range<usize>,
    },
}

/// Tokens as a person would write them.
pub(super) fn spell(tokens: &[Token]) -> String {
    let mut out = String::new();
    for token in tokens {
        if token.begins_word && !out.is_empty() {
            out.push(' ');
        }
        out.push_str(piece(token));
    }
    out.trim().to_owned()
}

/// Tokens one by one, separated by spaces.
pub(super) fn list(tokens: &[Token]) -> String {
    let pieces: Vec<&str> = tokens.iter().map(piece).filter(|p| !p.is_empty()).collect();
    pieces.join(" ")
}

fn piece(token: &Token) -> &str {
    token.text.trim_start_matches('▁').trim_end_matches("</w>")
}
