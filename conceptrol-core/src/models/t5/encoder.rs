//! The T5 encoder.

use crate::cancel::Cancel;
use crate::kernel;
use crate::models::nn::Embedding;
use crate::models::read_ahead;
use crate::models::weights::{WeightError, Weights};
use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor};

use super::block::T5Block;
use super::config::T5Config;
use super::distance::DistanceBias;

/// What a whole T5 has beside its encoder.
const DECODER: [&str; 2] = ["decoder.", "lm_head."];

/// The encoder half of T5 v1.1: turns token ids into the states FLUX reads a prompt from.
///
/// There is no attention mask: padding tokens take part, as FLUX was trained.
///
/// Mirrors `T5EncoderModel` of transformers 4.48.3.
#[derive(Module, Debug)]
pub struct T5Encoder {
    embedding: Embedding,
    bias: DistanceBias,
    /// Empty while the blocks are on disk.
    blocks: Vec<T5Block>,
    final_norm: Param<Tensor<1>>,
    #[module(skip)]
    config: T5Config,
    /// Where the blocks come from when they are not kept in memory.
    #[module(skip)]
    disk: Option<Weights>,
}

impl T5Encoder {
    /// An encoder with all its blocks in memory; `weights` is the scope of the whole model.
    ///
    /// The embedding is read from `shared` or `encoder.embed_tokens`, whichever the file has. The other half of a whole T5 is
    /// left out.
    pub fn new(config: &T5Config, weights: &Weights) -> Self {
        let blocks = (0..config.num_layers)
            .map(|index| block(config, weights, index))
            .collect();
        Self {
            blocks,
            ..Self::without_blocks(config, weights)
        }
    }

    /// An encoder that reads each block from the file while the one before it computes, and drops it afterwards: two blocks are in
    /// memory at a time.
    pub fn streamed(config: &T5Config, weights: &Weights) -> Self {
        Self {
            disk: Some(weights.clone()),
            ..Self::without_blocks(config, weights)
        }
    }

    fn without_blocks(config: &T5Config, weights: &Weights) -> Self {
        for part in DECODER {
            weights.ignore_unexpected(part);
        }
        let embedding = match weights.at("shared").has("weight") {
            true => {
                // Some files hold the same table a second time.
                weights.ignore_unexpected("encoder.embed_tokens.weight");
                weights.at("shared")
            }
            false => weights.at("encoder.embed_tokens"),
        };
        let bias = weights.at("encoder.block.0.layer.0.SelfAttention.relative_attention_bias");
        Self {
            embedding: Embedding::new(&embedding, config.vocab_size, config.d_model),
            bias: DistanceBias::new(config, &bias),
            blocks: Vec::new(),
            final_norm: weights
                .at("encoder.final_layer_norm")
                .tensor("weight", [config.d_model]),
            config: config.clone(),
            disk: None,
        }
    }

    /// The sizes of the encoder.
    pub fn config(&self) -> &T5Config {
        &self.config
    }

    /// The states of a prompt.
    ///
    /// # Shapes
    /// `ids` `[batch, tokens]` -> `[batch, tokens, d_model]`
    ///
    /// # Errors
    /// [`WeightError`] if blocks are on disk and cannot be read any more.
    pub fn forward(&self, ids: Tensor<2, Int>) -> Result<Tensor<3>, WeightError> {
        let states = self.states_after(self.config.num_layers, ids)?;
        let epsilon = self.config.layer_norm_epsilon;
        Ok(kernel::rms_norm(states, self.final_norm.val(), epsilon))
    }

    /// The states after the first `blocks` blocks, before the final normalisation; 0 gives the embedded tokens.
    ///
    /// # Shapes
    /// `ids` `[batch, tokens]` -> `[batch, tokens, d_model]`
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn states_after(
        &self,
        blocks: usize,
        ids: Tensor<2, Int>,
    ) -> Result<Tensor<3>, WeightError> {
        let blocks = blocks.min(self.config.num_layers);
        let bias = self.bias.forward(ids.dims()[1]);
        let states = self.embedding.forward(ids);
        let Some(weights) = &self.disk else {
            let through = |states, block: &T5Block| block.forward(states, &bias);
            return Ok(self.blocks[..blocks].iter().fold(states, through));
        };
        let weights = &weights.until(&Cancel::current()).recycling();
        let read = |index| move || weights.read(|weights| block(&self.config, weights, index));
        read_ahead((0..blocks).map(read), |blocks| {
            let mut states = states;
            for block in blocks {
                states = block?.forward(states, &bias);
            }
            Ok(states)
        })
    }
}

fn block(config: &T5Config, weights: &Weights, index: usize) -> T5Block {
    T5Block::new(config, &weights.at("encoder.block").at(index))
}
