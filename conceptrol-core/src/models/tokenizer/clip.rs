//! CLIP's tokenizer, as Stable Diffusion, SDXL and FLUX use it.

use std::ops::Range;
use std::path::Path;

use super::bpe::{byte_symbol, encode};
use super::encoded::{EncodedPrompt, Truncation};
use super::error::TokenizerError;
use super::normalize::{Normalizer, cover};
use super::special::Special;
use super::vocabulary::Vocabulary;
use crate::concept::{PromptTokens, Token, TokenStyle};

/// Byte-pair tokenizer with lower-casing, a start and an end token, and padding to the encoder's length.
///
/// Ids equal those of the slow `CLIPTokenizer` of transformers without `ftfy`, which the authors ran; on ordinary prompts
/// that is every CLIP tokenizer. The padding token is the end token, except for SDXL's second tokenizer: that pads with
/// `!` (id 0), and a `!` inside a prompt becomes that padding token, too.
#[derive(Debug)]
pub struct ClipTokenizer {
    pub(super) vocabulary: Vocabulary,
    pub(super) special: Special,
    pub(super) normalizer: Normalizer,
}

impl ClipTokenizer {
    /// Reads a tokenizer folder (`vocab.json` and `merges.txt`, or `tokenizer.json`; special tokens from
    /// `tokenizer_config.json` or `special_tokens_map.json` where present), or a `tokenizer.json` file.
    ///
    /// # Errors
    /// [`TokenizerError`] names the file that is missing, unreadable or malformed.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, TokenizerError> {
        let path = path.as_ref();
        let vocabulary = Vocabulary::open(path)?;
        let folder = if path.is_file() {
            path.parent().unwrap_or(path)
        } else {
            path
        };
        Ok(Self {
            special: Special::open(folder, &vocabulary)?,
            vocabulary,
            normalizer: Normalizer::new(),
        })
    }

    /// Tokenizes a prompt for the encoder: start token, at most `length() - 2` tokens, end token, padding.
    pub fn encode(&self, prompt: &str) -> EncodedPrompt {
        let length = self.special.length;
        let room = length - 2;
        let tokens = PromptTokens::new(self.tokens(prompt), TokenStyle::Clip, length);
        let ids: Vec<u32> = tokens.tokens().iter().map(|token| token.id).collect();
        EncodedPrompt {
            ids: self.sequence(&ids),
            truncated: Truncation::of(prompt, &tokens, room),
            tokens,
        }
    }

    /// The encoder's sequence for these tokens: start token, as many of them as fit (`length() - 2`), end token, padding.
    pub fn sequence(&self, ids: &[u32]) -> Vec<u32> {
        let length = self.special.length;
        let mut sequence = vec![self.special.start];
        sequence.extend(ids.iter().take(length - 2));
        sequence.push(self.special.end);
        sequence.resize(length, self.special.padding);
        sequence
    }

    /// The tokens of a text, all of them, without start and end token.
    pub fn tokens(&self, text: &str) -> Vec<Token> {
        let mut out = Vec::new();
        let mut start = 0;
        for (at, (special, ids)) in Unsplit::new(text, &self.special.unsplit) {
            self.push_words(text, start..at, &mut out);
            start = at + special.len();
            out.extend(ids.iter().enumerate().map(|(index, id)| Token {
                id: *id,
                text: learnt(special, index),
                bytes: at..start,
                begins_word: index == 0,
            }));
        }
        self.push_words(text, start..text.len(), &mut out);
        out
    }

    /// Adds a word that stands for these ids wherever it appears; each is a token of its own as well, `word_1` from the second
    /// on.
    ///
    /// # Errors
    /// [`TokenizerError::Known`] if it is empty, or a token already.
    pub fn add(&mut self, word: &str, ids: Range<u32>) -> Result<(), TokenizerError> {
        let is_special = |word: &str| self.special.unsplit.iter().any(|(text, _)| text == word);
        let taken = |word: &str| self.vocabulary.ids.contains_key(word) || is_special(word);
        let words = (0..ids.len()).map(|index| learnt(word, index));
        if word.is_empty() || words.clone().any(|word| taken(&word)) {
            return Err(TokenizerError::Known { word: word.into() });
        }
        let later = words.zip(ids.clone()).skip(1);
        for (word, id) in later.collect::<Vec<_>>() {
            self.special.add(&word, vec![id]);
        }
        self.special.add(word, ids.collect());
        Ok(())
    }

    /// Length of the encoder's sequence, start and end tokens included: 77 for all published models.
    pub fn length(&self) -> usize {
        self.special.length
    }

    /// The id prompts are padded with.
    pub fn padding_id(&self) -> u32 {
        self.special.padding
    }

    /// The id of the end token, whose position text encoders pool.
    pub fn end_id(&self) -> u32 {
        self.special.end
    }

    fn push_words(&self, text: &str, range: Range<usize>, out: &mut Vec<Token>) {
        let shift = range.start;
        for word in self.normalizer.words(&text[range]) {
            // The pattern takes these for one word even in another case; they are known as a whole.
            let known = matches!(word.text.as_str(), "<|startoftext|>" | "<|endoftext|>")
                .then(|| self.vocabulary.ids.get(&word.text))
                .flatten();
            if let Some(&id) = known {
                let bytes = cover(&word.origin);
                out.push(Token {
                    id,
                    text: word.text,
                    bytes: bytes.start + shift..bytes.end + shift,
                    begins_word: true,
                });
                continue;
            }
            for piece in encode(&word.text, &self.vocabulary) {
                let bytes = cover(&word.origin[piece.bytes.clone()]);
                let ends = piece.bytes.end == word.text.len();
                let mut name: String = word.text.as_bytes()[piece.bytes.clone()]
                    .iter()
                    .map(|&byte| byte_symbol(byte))
                    .collect();
                name.push_str(if ends { "</w>" } else { "" });
                out.push(Token {
                    id: piece.id.unwrap_or(self.special.unknown),
                    text: name,
                    bytes: bytes.start + shift..bytes.end + shift,
                    begins_word: piece.bytes.start == 0,
                });
            }
        }
    }
}

/// What the vectors of a learnt word are called.
fn learnt(word: &str, index: usize) -> String {
    match index {
        0 => word.to_owned(),
        index => format!("{word}_{index}"),
    }
}

/// The special tokens in a text from left to right, at each place the longest.
struct Unsplit<'a> {
    text: &'a str,
    /// Sorted by falling length.
    tokens: &'a [(String, Vec<u32>)],
    /// Where each is next, as far as is known.
    places: Vec<Option<usize>>,
    /// Where the last one found ends.
    start: usize,
}

impl<'a> Unsplit<'a> {
    fn new(text: &'a str, tokens: &'a [(String, Vec<u32>)]) -> Self {
        Self {
            text,
            tokens,
            places: tokens.iter().map(|(token, _)| text.find(token)).collect(),
            start: 0,
        }
    }
}

impl<'a> Iterator for Unsplit<'a> {
    type Item = (usize, &'a (String, Vec<u32>));

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.start;
        for (place, (token, _)) in self.places.iter_mut().zip(self.tokens) {
            if place.is_some_and(|place| place < start) {
                *place = self.text[start..].find(token).map(|at| start + at);
            }
        }
        let places = self.places.iter().zip(self.tokens);
        let found = places.filter_map(|(place, token)| Some(((*place)?, token)));
        // `min_by_key` takes the first of equals
        let (at, token) = found.min_by_key(|(at, _)| *at)?;
        self.start = at + token.0.len();
        Some((at, token))
    }
}
