//! The two text encoders and what they make of a prompt.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use conceptrol_core::PromptTokens;
use conceptrol_core::models::clip_text::ClipTextModel;
use conceptrol_core::models::tokenizer::{ClipTokenizer, T5Tokenizer, Truncation};

use crate::error::FluxError;
use conceptrol_core::models::t5::T5Encoder;

/// A prompt as the transformer takes it.
#[derive(Debug, Clone)]
pub struct PromptStates {
    /// T5 states of all tokens, padding included: `[1, text tokens, d_model]`.
    pub text: Tensor<3>,
    /// CLIP's pooled state: `[1, hidden_size]`.
    pub pooled: Tensor<2>,
    /// The prompt's T5 tokens, in which concepts are located.
    pub tokens: PromptTokens,
    /// The end of the prompt that T5 does not see.
    pub cut: Option<Truncation>,
}

/// The tokenizers of the two text encoders; small enough to be kept.
#[derive(Debug)]
pub struct Tokenizers {
    /// Splits the prompt for CLIP.
    pub clip: ClipTokenizer,
    /// Splits the prompt, and the words of concepts, for T5.
    pub t5: T5Tokenizer,
}

/// The two text encoders.
#[derive(Debug)]
pub struct PromptEncoders {
    /// Gives the pooled state.
    pub clip: ClipTextModel,
    /// Gives the state of every token.
    pub t5: T5Encoder,
}

impl PromptEncoders {
    /// Encodes a prompt into `length` T5 tokens and CLIP's pooled state.
    ///
    /// # Errors
    /// [`FluxError`] if the prompt cannot be tokenized or tokenizers and encoders do not fit each other.
    pub fn encode(
        &self,
        tokenizers: &Tokenizers,
        prompt: &str,
        length: usize,
        device: &Device,
    ) -> Result<PromptStates, FluxError> {
        let pieces = tokenizers.t5.encode(prompt, length)?;
        let text = self.t5.forward(self.t5_ids(&pieces.ids, device)?);
        let pooled = self
            .clip
            .forward(&[tokenizers.clip.encode(prompt).ids])?
            .pooled();
        Ok(PromptStates {
            text,
            pooled,
            tokens: pieces.tokens,
            cut: pieces.cut,
        })
    }

    /// `[1, tokens]`, checked against the embedding table.
    fn t5_ids(&self, ids: &[u32], device: &Device) -> Result<Tensor<2, Int>, FluxError> {
        let vocabulary = self.t5.config().vocab_size;
        if let Some(id) = ids.iter().copied().find(|id| *id as usize >= vocabulary) {
            return Err(FluxError::TokenId { id, vocabulary });
        }
        let shape = [1, ids.len()];
        let ids: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
        let data = TensorData::new(ids, shape);
        Ok(Tensor::from_data(data, (device, DType::I64)))
    }
}
