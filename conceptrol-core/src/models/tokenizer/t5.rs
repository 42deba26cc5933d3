//! T5's tokenizer, the second one of FLUX.

use std::path::Path;

use serde::Deserialize;
use tokenizers::Tokenizer;

use super::encoded::{EncodedPrompt, Truncation};
use super::error::TokenizerError;
use super::files::{VOCABULARY_LIMIT, malformed, parse, read, read_json_if_present};
use super::model::check_model;
use super::parts::Parts;
use super::special::window;
use crate::concept::{PromptTokens, Token, TokenStyle};

/// Unigram tokenizer that keeps case, without a start token; an end token, then padding.
///
/// T5 encoders of diffusion models get no attention mask: the padding tokens are attended.
#[derive(Debug)]
pub struct T5Tokenizer {
    inner: Tokenizer,
    end: u32,
    padding: u32,
    length: Option<usize>,
}

impl T5Tokenizer {
    /// Reads `tokenizer.json` of a folder, or the given file. Parts that T5's files do not have are refused, and so is
    /// what would make a prompt other tokens each time, or very many.
    ///
    /// # Errors
    /// [`TokenizerError`] names the file that is missing, unreadable or malformed, or the special token without id.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, TokenizerError> {
        let path = path.as_ref();
        let file = if path.is_file() {
            path.to_owned()
        } else {
            path.join("tokenizer.json")
        };
        let text = read(
            &file,
            "T5 is read from tokenizer.json (spiece.model alone is not enough)",
            VOCABULARY_LIMIT,
        )?;
        check_model(&file, &text, "Unigram")?;
        let parts: Parts = parse(&file, &text)?;
        let inner = parts.build().map_err(|reason| malformed(&file, reason))?;
        let id = |role, token: &str| {
            inner
                .token_to_id(token)
                .ok_or_else(|| TokenizerError::UnknownSpecial {
                    path: file.clone(),
                    role,
                    token: token.to_owned(),
                })
        };
        let (end, padding) = (id("end", "</s>")?, id("padding", "<pad>")?);
        Ok(Self {
            inner,
            end,
            padding,
            length: model_max_length(&file)?,
        })
    }

    /// The most tokens of a prompt, with the end token: `model_max_length` in the `tokenizer_config.json` beside the file, if it
    /// says one.
    pub fn length(&self) -> Option<usize> {
        self.length
    }

    /// Tokenizes a prompt for the encoder: at most `length - 1` tokens, end token, padding. FLUX uses 512, schnell 256.
    ///
    /// # Errors
    /// [`TokenizerError::Prompt`] if the model of the file cannot spell the prompt, or `length` is 0.
    pub fn encode(&self, prompt: &str, length: usize) -> Result<EncodedPrompt, TokenizerError> {
        let room = length
            .checked_sub(1)
            .ok_or_else(|| TokenizerError::Prompt {
                reason: "a length of 0 has no room for the end token".to_owned(),
            })?;
        let tokens = PromptTokens::new(self.tokens(prompt)?, TokenStyle::T5, length);
        let mut ids: Vec<u32> = tokens
            .tokens()
            .iter()
            .take(room)
            .map(|token| token.id)
            .collect();
        ids.push(self.end);
        ids.resize(length, self.padding);
        Ok(EncodedPrompt {
            ids,
            truncated: Truncation::of(prompt, &tokens, room),
            tokens,
        })
    }

    /// The tokens of a text, all of them, without end token.
    ///
    /// # Errors
    /// [`TokenizerError::Prompt`] if the model of the file cannot spell the text.
    pub fn tokens(&self, text: &str) -> Result<Vec<Token>, TokenizerError> {
        let encoding = self
            .inner
            .encode(text, false)
            .map_err(|error| TokenizerError::Prompt {
                reason: error.to_string(),
            })?;
        let mut tokens: Vec<Token> = Vec::with_capacity(encoding.len());
        let pieces = encoding
            .get_ids()
            .iter()
            .zip(encoding.get_tokens())
            .zip(encoding.get_offsets());
        for ((&id, piece), &(start, end)) in pieces {
            let begins_word = piece.starts_with('▁')
                || !piece.starts_with(char::is_alphanumeric)
                || tokens
                    .last()
                    .is_none_or(|before| !before.text.ends_with(char::is_alphanumeric));
            tokens.push(Token {
                id,
                text: piece.clone(),
                bytes: start..end,
                begins_word,
            });
        }
        Ok(tokens)
    }

    /// The id prompts are padded with: 0.
    pub fn padding_id(&self) -> u32 {
        self.padding
    }

    /// The id of the end token: 1.
    pub fn end_id(&self) -> u32 {
        self.end
    }
}

/// The part of `tokenizer_config.json` that matters.
#[derive(Deserialize, Default)]
struct Config {
    model_max_length: Option<f64>,
}

/// The most tokens of a prompt, as the configuration beside a tokenizer says.
fn model_max_length(tokenizer: &Path) -> Result<Option<usize>, TokenizerError> {
    let path = tokenizer.with_file_name("tokenizer_config.json");
    let config: Config = read_json_if_present(&path)?.unwrap_or_default();
    Ok(window(config.model_max_length, 1.0))
}
