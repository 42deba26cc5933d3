//! The words of a prompt as a text encoder sees them.

use std::ops::Range;

use super::span::TokenSpan;

/// One vocabulary entry in a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Token {
    /// Index into the vocabulary.
    pub id: u32,
    /// The entry as the vocabulary writes it: `shirt</w>` (CLIP), `▁shirt` (T5).
    pub text: String,
    /// The bytes of the prompt it stands for.
    pub bytes: Range<usize>,
    /// Whether a word begins here; otherwise the token continues the one before it (`mush` + `room</w>`).
    pub begins_word: bool,
}

impl Token {
    /// The entry `text` of number `id`, for these bytes of the prompt.
    pub fn new(id: u32, text: impl Into<String>, bytes: Range<usize>, begins_word: bool) -> Self {
        Self {
            id,
            text: text.into(),
            bytes,
            begins_word,
        }
    }
}

/// How a tokenizer marks words, and where its tokens sit in the encoder's sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenStyle {
    /// Lower-case byte pairs, `</w>` after the last one of a word; a start token comes before the first.
    Clip,
    /// Case-preserving pieces, `▁` before the first one of a word; nothing comes before the first.
    T5,
}

impl TokenStyle {
    /// Index of the prompt's first token in the sequence the encoder gets.
    pub fn first_index(self) -> usize {
        match self {
            Self::Clip => 1,
            Self::T5 => 0,
        }
    }

    /// What two pieces must share to be the same word: T5 keeps case, which concepts ignore.
    /// CLIP's pieces are lower-case already and spell bytes, so they must not be folded again.
    pub(super) fn key(self, text: &str) -> String {
        match self {
            Self::Clip => text.to_owned(),
            Self::T5 => text.to_lowercase(),
        }
    }
}

/// All tokens of a prompt, also those beyond the encoder's window, without start, end and padding tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptTokens {
    pub(super) tokens: Vec<Token>,
    pub(super) style: TokenStyle,
    pub(super) length: usize,
    /// Where each token is in the sequence, if that is not one after the other.
    places: Option<Vec<usize>>,
}

impl PromptTokens {
    /// The tokens of a prompt for an encoder that takes `length` tokens, start and end tokens included (CLIP: 77).
    pub fn new(tokens: Vec<Token>, style: TokenStyle, length: usize) -> Self {
        Self {
            tokens,
            style,
            length,
            places: None,
        }
    }

    /// Sets where each token is in the sequence of an encoder that reads a prompt in chunks, each with start and end.
    /// Finding counts the tokens of the prompt behind one start token all the same; [`in_sequence`](Self::in_sequence) says
    /// what is attended to.
    ///
    /// ```
    /// use conceptrol_core::{PromptTokens, Token, TokenSpan, TokenStyle};
    ///
    /// // "a red cat", two tokens a chunk: start a red end, start cat end padding
    /// let words = ["a</w>", "red</w>", "cat</w>"];
    /// let token = |(i, text): (usize, &&str)| Token::new(7, *text, i..i + 1, true);
    /// let tokens = words.iter().enumerate().map(token).collect();
    /// let prompt = PromptTokens::new(tokens, TokenStyle::Clip, 5).at(vec![1, 2, 5]);
    /// let spans = prompt.in_sequence(TokenSpan::new(2..4)?); // "red cat"
    /// assert_eq!(spans, [TokenSpan::new(2..3)?, TokenSpan::new(5..6)?]);
    /// # Ok::<(), conceptrol_core::SpanError>(())
    /// ```
    #[must_use]
    pub fn at(mut self, places: Vec<usize>) -> Self {
        self.places = Some(places);
        self
    }

    /// Where the tokens of a span are in the encoder's sequence: there itself, or in several pieces where chunks meet.
    pub fn in_sequence(&self, span: TokenSpan) -> Vec<TokenSpan> {
        let Some(places) = &self.places else {
            return vec![span];
        };
        let first = self.style.first_index();
        let of = |index: usize| places.get(index.checked_sub(first)?).copied();
        let mut pieces: Vec<Range<usize>> = Vec::new();
        for place in span.range().filter_map(of) {
            match pieces.last_mut() {
                Some(last) if last.end == place => last.end += 1,
                _ => pieces.push(place..place + 1),
            }
        }
        pieces.into_iter().flat_map(TokenSpan::new).collect()
    }

    /// The tokens in order; token `i` is at `style().first_index() + i` of the encoder's sequence.
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// How the tokenizer marks words.
    pub fn style(&self) -> TokenStyle {
        self.style
    }

    /// Length of the encoder's sequence, start and end tokens included.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The indices of the encoder's sequence that hold words: behind the start token, before the end token.
    pub fn window(&self) -> Range<usize> {
        let start = self.style.first_index();
        let end = self.length.saturating_sub(1).min(start + self.tokens.len());
        start..end.max(start)
    }

    /// Whether a word ends with the `count`-th token, so that a phrase may end there.
    pub(super) fn is_boundary(&self, count: usize) -> bool {
        self.tokens.get(count).is_none_or(|next| next.begins_word)
    }
}
