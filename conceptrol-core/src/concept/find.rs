//! Finding a concept's words among the tokens of a prompt.

use std::ops::Range;

use super::error::{SpanError, list, spell};
use super::span::TokenSpan;
use super::token::{PromptTokens, Token};

/// Which of several occurrences of a phrase is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Occurrence {
    /// One, counted from 0.
    Nth(usize),
    /// Every one inside the text window.
    All,
}

impl Default for Occurrence {
    /// The first one.
    fn default() -> Self {
        Self::Nth(0)
    }
}

impl PromptTokens {
    /// Finds `phrase` as a run of whole words, ignoring case.
    ///
    /// The phrase's tokens must come one after the other, begin where a word begins and end where one ends:
    /// `room` is not found in `mushroom`, although that ends in the token `room</w>`. How pieces are cut inside the words
    /// does not matter (T5 cuts `T-shirt` and `t-shirt` differently). Occurrences do not overlap; they are counted from
    /// the left. The words of a longer concept count too: `dog` occurs in `hot dog`.
    ///
    /// # Errors
    /// [`SpanError::EmptyPhrase`], [`SpanError::NotFound`], [`SpanError::TooFew`], or [`SpanError::BeyondWindow`] if the
    /// chosen occurrence (with [`Occurrence::All`]: every one) lies outside [`Self::window`] or reaches beyond it.
    pub fn find(
        &self,
        phrase: &[Token],
        occurrence: Occurrence,
    ) -> Result<Vec<TokenSpan>, SpanError> {
        let found = self.occurrences(phrase)?;
        if found.is_empty() {
            return Err(self.not_found(phrase));
        }
        match occurrence {
            Occurrence::Nth(n) => match found.get(n) {
                Some(range) => Ok(vec![self.in_window(range.clone(), || spell(phrase))?]),
                None => Err(SpanError::TooFew {
                    phrase: spell(phrase),
                    asked: n,
                    found: found.len(),
                }),
            },
            Occurrence::All => {
                let (spans, mut errors): (Vec<_>, Vec<_>) = found
                    .into_iter()
                    .map(|range| self.in_window(range, || spell(phrase)))
                    .partition(Result::is_ok);
                let spans: Vec<TokenSpan> = spans.into_iter().flatten().collect();
                match (spans.is_empty(), errors.pop()) {
                    (true, Some(Err(error))) => Err(error),
                    _ => Ok(spans),
                }
            }
        }
    }

    /// The tokens that stand for any of these bytes of the prompt; a T5 word's mark counts as part of the word.
    ///
    /// # Errors
    /// [`SpanError::NoTokenAtBytes`] or [`SpanError::BeyondWindow`].
    pub fn at_bytes(&self, bytes: Range<usize>) -> Result<TokenSpan, SpanError> {
        let touched =
            |t: &Token| !bytes.is_empty() && t.bytes.start < bytes.end && bytes.start < t.bytes.end;
        let length = self.tokens.last().map_or(0, |t| t.bytes.end);
        // The mark of a word's start may be a token of its own, which stands for the space before: it belongs to the word.
        let with_mark = |first: usize| match first.checked_sub(1) {
            Some(before) if self.tokens[before].text == "▁" => before,
            _ => first,
        };
        let first = self.tokens.iter().position(touched).map(with_mark);
        let last = self.tokens.iter().rposition(touched);
        match (first, last) {
            (Some(first), Some(last)) => {
                self.in_window(self.indices(first..last + 1), || format!("bytes {bytes:?}"))
            }
            _ => Err(SpanError::NoTokenAtBytes {
                start: bytes.start,
                end: bytes.end,
                length,
            }),
        }
    }

    /// The tokens with these indices in the encoder's sequence (the start token counts).
    ///
    /// # Errors
    /// [`SpanError::EmptyRange`] or [`SpanError::BeyondWindow`].
    pub fn at_tokens(&self, range: Range<usize>) -> Result<TokenSpan, SpanError> {
        TokenSpan::new(range.clone())?;
        self.in_window(range.clone(), || format!("tokens {range:?}"))
    }

    /// Non-overlapping occurrences, in indices of the encoder's sequence.
    fn occurrences(&self, phrase: &[Token]) -> Result<Vec<Range<usize>>, SpanError> {
        let key = self.key(phrase);
        if key.is_empty() {
            return Err(SpanError::EmptyPhrase);
        }
        let mut found = Vec::new();
        let mut start = 0;
        while start < self.tokens.len() {
            match self.match_at(start, &key) {
                Some(end) => {
                    found.push(self.indices(start..end));
                    start = end;
                }
                None => start += 1,
            }
        }
        Ok(found)
    }

    /// The end of the run of tokens from `start` that spells `key`, if it is made of whole words.
    fn match_at(&self, start: usize, key: &str) -> Option<usize> {
        if !self.tokens[start].begins_word {
            return None;
        }
        let mut rest = key;
        for (i, token) in self.tokens.iter().enumerate().skip(start) {
            let piece = self.style.key(&token.text);
            let piece = if i == start {
                piece.trim_start_matches('▁')
            } else {
                &piece
            };
            rest = rest.strip_prefix(piece)?;
            if rest.is_empty() {
                return self.is_boundary(i + 1).then_some(i + 1);
            }
        }
        None
    }

    /// What a run of tokens must spell to match: without the mark of the first word's start, which depends on its place.
    fn key(&self, tokens: &[Token]) -> String {
        let joined: String = tokens.iter().map(|t| self.style.key(&t.text)).collect();
        joined.trim_matches('▁').to_owned()
    }

    pub(super) fn indices(&self, tokens: Range<usize>) -> Range<usize> {
        let first = self.style.first_index();
        tokens.start + first..tokens.end + first
    }

    fn in_window(
        &self,
        range: Range<usize>,
        phrase: impl FnOnce() -> String,
    ) -> Result<TokenSpan, SpanError> {
        let window = self.window();
        if range.start < window.start || range.end > window.end {
            return Err(SpanError::BeyondWindow {
                phrase: phrase(),
                start: range.start,
                end: range.end,
                first: window.start,
                last: window.end,
            });
        }
        TokenSpan::new(range)
    }

    pub(super) fn not_found(&self, phrase: &[Token]) -> SpanError {
        SpanError::NotFound {
            phrase: spell(phrase),
            tokens: list(&self.tokens),
        }
    }
}
