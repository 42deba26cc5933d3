//! The authors' look-up of a concept's tokens, kept for `Fidelity::Authors`.

use std::ops::Range;

use super::error::{SpanError, spell};
use super::span::TokenSpan;
use super::token::{PromptTokens, Token, TokenStyle};

impl PromptTokens {
    /// The range the authors' code looks at, in indices of the encoder's sequence.
    ///
    /// CLIP: from the first token equal to the phrase's first one to the first token equal to its last one, two
    /// independent look-ups of their `load_textual_concept`. In "a book and a red book" the phrase "a red book" gives
    /// "a book", and "red book" a reversed range. T5: the first contiguous run of equal tokens.
    /// Neither ignores case; CLIP tokens have none.
    ///
    /// # Errors
    /// [`SpanError::EmptyPhrase`] or [`SpanError::NotFound`]. The range may be reversed or beyond the encoder's sequence.
    pub fn authors_range(&self, phrase: &[Token]) -> Result<Range<usize>, SpanError> {
        let (Some(first), Some(last)) = (phrase.first(), phrase.last()) else {
            return Err(SpanError::EmptyPhrase);
        };
        let found = match self.style {
            TokenStyle::Clip => self
                .first_equal(first)
                .zip(self.first_equal(last))
                .map(|(a, b)| a..b + 1),
            TokenStyle::T5 => self
                .tokens
                .windows(phrase.len())
                .position(|run| run.iter().zip(phrase).all(|(a, b)| a.text == b.text))
                .map(|start| start..start + phrase.len()),
        };
        found
            .map(|range| self.indices(range))
            .ok_or_else(|| self.not_found(phrase))
    }

    /// [`Self::authors_range`] as far as the encoder's sequence goes (its end and padding tokens count here).
    ///
    /// # Errors
    /// Those of `authors_range`, and [`SpanError::AuthorsEmpty`] where the authors' code would compute with NaN.
    pub fn find_as_authors(&self, phrase: &[Token]) -> Result<TokenSpan, SpanError> {
        let Range { start, end } = self.authors_range(phrase)?;
        TokenSpan::new(start..end.min(self.length)).map_err(|_| SpanError::AuthorsEmpty {
            phrase: spell(phrase),
            start,
            end,
            length: self.length,
        })
    }

    fn first_equal(&self, wanted: &Token) -> Option<usize> {
        self.tokens
            .iter()
            .position(|token| token.text == wanted.text)
    }
}
