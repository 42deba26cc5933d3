//! Prompts: one CLIP text encoder for SD1.5, two for SDXL.

use std::path::Path;

use burn::tensor::Tensor;
use conceptrol_core::models::{
    clip_text::{ClipTextConfig, ClipTextModel},
    tokenizer::{ClipTokenizer, EncodedPrompt},
};

use crate::pipeline::{LoadOptions, PipelineError};

/// The text encoders of a checkpoint with their tokenizers.
#[derive(Debug)]
pub struct TextEncoders {
    first: TextEncoder,
    second: Option<TextEncoder>,
}

#[derive(Debug)]
struct TextEncoder {
    tokenizer: ClipTokenizer,
    model: ClipTextModel,
}

/// What a UNet gets of prompts.
#[derive(Debug, Clone)]
pub struct PromptStates {
    /// `[prompts, tokens, context]`
    pub context: Tensor<3>,
    /// `[prompts, pooled]`, SDXL only.
    pub pooled: Option<Tensor<2>>,
}

impl TextEncoders {
    /// Loads `text_encoder` and `tokenizer` of a diffusers folder, and `text_encoder_2` and
    /// `tokenizer_2` where they are.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] for files that are missing, malformed, or do not belong together.
    pub fn load(folder: &Path, options: &LoadOptions) -> Result<Self, PipelineError> {
        let first = TextEncoder::load(folder, "tokenizer", "text_encoder", options)?;
        let second = folder.join("text_encoder_2").exists();
        let second =
            second.then(|| TextEncoder::load(folder, "tokenizer_2", "text_encoder_2", options));
        Ok(Self {
            first,
            second: second.transpose()?,
        })
    }

    /// The tokenizer that concepts are found with.
    pub const fn tokenizer(&self) -> &ClipTokenizer {
        &self.first.tokenizer
    }

    /// Whether there is a second encoder, as in SDXL.
    pub const fn is_dual(&self) -> bool {
        self.second.is_some()
    }

    /// Tokenizes a prompt with the first tokenizer.
    pub fn tokenize(&self, prompt: &str) -> EncodedPrompt {
        self.first.tokenizer.encode(prompt)
    }

    /// Tokenizes a prompt with the second tokenizer, if there is one.
    pub fn tokenize_2(&self, prompt: &str) -> Option<EncodedPrompt> {
        Some(self.second.as_ref()?.tokenizer.encode(prompt))
    }

    /// Encodes prompts; the second encoder, where there is one, reads `prompts_2`.
    ///
    /// SD1.5 takes the last state behind the final layer norm, `clip_skip = k` the one k layers before. SDXL
    /// concatenates the penultimate states of both encoders and takes the projected pooled state of the second.
    ///
    /// # Errors
    ///
    /// [`PipelineError::ClipText`] if `clip_skip` is not smaller than the number of layers.
    pub fn encode(
        &self,
        prompts: &[impl AsRef<str>],
        prompts_2: &[impl AsRef<str>],
        clip_skip: usize,
    ) -> Result<PromptStates, PipelineError> {
        let states = self.first.states(prompts)?;
        let Some(second) = &self.second else {
            let context = match clip_skip {
                0 => states.last_hidden_state(),
                skip => self
                    .first
                    .model
                    .final_layer_norm(states.hidden_state(skip)?),
            };
            return Ok(PromptStates {
                context,
                pooled: None,
            });
        };
        let states_2 = second.states(prompts_2)?;
        let penultimate = [
            states.hidden_state(clip_skip + 1)?,
            states_2.hidden_state(clip_skip + 1)?,
        ];
        let pooled = states_2.text_embeds().ok_or(PipelineError::NoProjection)?;
        Ok(PromptStates {
            context: Tensor::cat(penultimate.into(), 2),
            pooled: Some(pooled),
        })
    }
}

impl TextEncoder {
    fn load(
        folder: &Path,
        tokenizer: &str,
        model: &str,
        options: &LoadOptions,
    ) -> Result<Self, PipelineError> {
        let tokenizer = ClipTokenizer::open(folder.join(tokenizer))?;
        let folder = folder.join(model);
        let config = ClipTextConfig::from_file(folder.join("config.json"))?;
        let weights = options.weights(&folder, options.dtype)?;
        let model = ClipTextModel::new(&config, &weights);
        weights.finish()?;
        Ok(Self { tokenizer, model })
    }

    fn states(
        &self,
        prompts: &[impl AsRef<str>],
    ) -> Result<conceptrol_core::models::clip_text::ClipTextStates, PipelineError> {
        let ids: Vec<Vec<u32>> = prompts
            .iter()
            .map(|prompt| self.tokenizer.encode(prompt.as_ref()).ids)
            .collect();
        Ok(self.model.forward(&ids)?)
    }
}
