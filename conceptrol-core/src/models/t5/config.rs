//! Sizes of a T5 encoder, as its `config.json` gives them.

use std::path::Path;

use crate::models::config::{ConfigError, Fields};
use serde::Serialize;

/// What errors call the model.
const MODEL: &str = "t5 encoder";
/// Largest width, number of token ids or distance; T5-XXL stays far below it.
const MOST: usize = 1 << 20;

/// The MLP of version 1.1.
const GATED_GELU: &str = "gated-gelu";

/// Sizes of a T5 v1.1 encoder, with the field names of the transformers `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct T5Config {
    /// Number of token ids.
    pub vocab_size: usize,
    /// Width of the states.
    pub d_model: usize,
    /// Channels of one attention head; heads x `d_kv` need not be `d_model`.
    pub d_kv: usize,
    /// Width of the hidden layer of the MLPs.
    pub d_ff: usize,
    /// Number of blocks.
    pub num_layers: usize,
    /// Number of attention heads.
    pub num_heads: usize,
    /// Number of classes of token distances.
    pub relative_attention_num_buckets: usize,
    /// Distance from which on all distances share a class.
    pub relative_attention_max_distance: usize,
    /// Epsilon of the RMS normalisations.
    pub layer_norm_epsilon: f64,
    /// Kind of MLP; only v1.1's `gated-gelu` is supported.
    pub feed_forward_proj: String,
}

impl T5Config {
    /// T5-XXL v1.1, the text encoder of FLUX.
    pub fn xxl() -> Self {
        Self {
            vocab_size: 32_128,
            d_model: 4096,
            d_kv: 64,
            d_ff: 10_240,
            num_layers: 24,
            num_heads: 64,
            relative_attention_num_buckets: 32,
            relative_attention_max_distance: 128,
            layer_norm_epsilon: 1e-6,
            feed_forward_proj: GATED_GELU.to_owned(),
        }
    }

    /// Reads a `config.json`.
    ///
    /// # Errors
    /// If the file cannot be read, lacks a field, or no encoder can be built from it.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        Self::from_fields(&Fields::open(MODEL, path)?)
    }

    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// If it lacks a field, or no encoder can be built from it.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        Self::from_fields(&Fields::parse(MODEL, text)?)
    }

    fn from_fields(fields: &Fields) -> Result<Self, ConfigError> {
        let distance = fields.size_or("relative_attention_max_distance", 1..=MOST, 128)?;
        let buckets = fields.size_or("relative_attention_num_buckets", 1..=1 << 12, 32)?;
        if !buckets.is_multiple_of(4) || distance <= buckets / 4 {
            let expected =
                format!("a multiple of 4 below four times the maximal distance {distance}");
            return Err(fields.error("relative_attention_num_buckets", expected));
        }
        let epsilon = fields.number_or("layer_norm_epsilon", 1e-6)?;
        if !(epsilon > 0.0 && epsilon < 1.0) {
            return Err(fields.error("layer_norm_epsilon", "between 0 and 1"));
        }
        let mlp = fields.optional_text("feed_forward_proj")?;
        let mlp = mlp.filter(|mlp| *mlp == GATED_GELU);
        Ok(Self {
            vocab_size: fields.size("vocab_size", 1..=MOST)?,
            d_model: fields.size("d_model", 1..=MOST)?,
            d_kv: fields.size("d_kv", 1..=1 << 12)?,
            d_ff: fields.size("d_ff", 1..=MOST)?,
            num_layers: fields.size("num_layers", 1..=1 << 10)?,
            num_heads: fields.size("num_heads", 1..=1 << 12)?,
            relative_attention_num_buckets: buckets,
            relative_attention_max_distance: distance,
            layer_norm_epsilon: epsilon,
            feed_forward_proj: mlp
                .ok_or_else(|| fields.error("feed_forward_proj", GATED_GELU))?
                .to_owned(),
        })
    }
}
