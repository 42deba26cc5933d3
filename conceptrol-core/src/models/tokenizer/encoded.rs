//! What a tokenizer makes of a prompt.

use std::fmt;
use std::ops::Range;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::concept::PromptTokens;
use crate::message::shown;

/// A prompt as a text encoder takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedPrompt {
    /// Vocabulary indices: start, words, end, padding; exactly the encoder's length, or that of several chunks.
    pub ids: Vec<u32>,
    /// All tokens of the prompt, for finding concepts.
    pub tokens: PromptTokens,
    /// What did not fit.
    pub truncated: Option<Truncation>,
}

impl EncodedPrompt {
    /// The indices as a tensor.
    ///
    /// # Shapes
    /// - result: `[1, length]`
    pub fn to_tensor(&self, device: &Device) -> Tensor<2, Int> {
        let ids: Vec<i64> = self.ids.iter().map(|&id| i64::from(id)).collect();
        let shape = [1, ids.len()];
        Tensor::from_data(TensorData::new(ids, shape), (device, DType::I64))
    }
}

/// The end of a prompt that the text encoder does not see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truncation {
    /// Tokens of the prompt that fit.
    pub kept: usize,
    /// Tokens of the prompt that do not.
    pub dropped: usize,
    /// The bytes of the prompt those stand for.
    pub bytes: Range<usize>,
    /// The text those stand for.
    pub text: String,
}

impl Truncation {
    /// What is lost of `prompt` if only `room` tokens fit.
    pub fn of(prompt: &str, tokens: &PromptTokens, room: usize) -> Option<Self> {
        let lost = tokens
            .tokens()
            .get(room..)
            .filter(|lost| !lost.is_empty())?;
        let bytes = lost.first()?.bytes.start..lost.last()?.bytes.end;
        Some(Self {
            kept: room,
            dropped: lost.len(),
            text: prompt.get(bytes.clone()).unwrap_or_default().to_owned(),
            bytes,
        })
    }
}

impl fmt::Display for Truncation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kept,
            dropped,
            text,
            ..
        } = self;
        let total = kept + dropped;
        write!(
            f,
            "the text encoder sees {kept} of the prompt's {total} tokens; not this end: \"{}\"",
            shown(text)
        )
    }
}
