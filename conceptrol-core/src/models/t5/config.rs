//! Sizes of a T5 encoder, as its `config.json` gives them.

use std::path::Path;

use crate::models::config::{ConfigError, read_config};
use serde::{Deserialize, Serialize};

/// What errors call the model.
const MODEL: &str = "t5";
/// Largest value accepted for any size; T5-XXL stays far below it.
const SIZE_LIMIT: usize = 1 << 20;

/// Sizes of a T5 v1.1 encoder, with the field names of the transformers `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    #[serde(default = "published_buckets")]
    pub relative_attention_num_buckets: usize,
    /// Distance from which on all distances share a class.
    #[serde(default = "published_distance")]
    pub relative_attention_max_distance: usize,
    /// Epsilon of the RMS normalisations.
    #[serde(default = "published_epsilon")]
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
            relative_attention_num_buckets: published_buckets(),
            relative_attention_max_distance: published_distance(),
            layer_norm_epsilon: published_epsilon(),
            feed_forward_proj: "gated-gelu".to_owned(),
        }
    }

    /// Reads and checks a `config.json`.
    ///
    /// # Errors
    /// If the file cannot be read, lacks a field, or no encoder can be built from it.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let config: Self = read_config(path)?;
        config.validate()?;
        Ok(config)
    }

    /// Checks that the sizes describe an encoder that can be built.
    ///
    /// # Errors
    /// Names the first field that is out of range or not supported.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let (buckets, distance) = (
            self.relative_attention_num_buckets,
            self.relative_attention_max_distance,
        );
        for (field, value, limit) in [
            ("vocab_size", self.vocab_size, SIZE_LIMIT),
            ("d_model", self.d_model, SIZE_LIMIT),
            ("d_kv", self.d_kv, 1 << 12),
            ("d_ff", self.d_ff, SIZE_LIMIT),
            ("num_layers", self.num_layers, 1 << 10),
            ("num_heads", self.num_heads, 1 << 12),
            ("relative_attention_num_buckets", buckets, 1 << 12),
            ("relative_attention_max_distance", distance, SIZE_LIMIT),
        ] {
            ConfigError::check_size(MODEL, field, value, limit)?;
        }
        if !buckets.is_multiple_of(4) || distance <= buckets / 4 {
            let expected = format!(
                "expected a multiple of 4 below four times the maximal distance {distance}"
            );
            return Err(ConfigError::field(
                MODEL,
                "relative_attention_num_buckets",
                buckets,
                expected,
            ));
        }
        let mlp = &self.feed_forward_proj;
        if mlp != "gated-gelu" {
            return Err(ConfigError::field(
                MODEL,
                "feed_forward_proj",
                mlp,
                "expected gated-gelu",
            ));
        }
        let epsilon = self.layer_norm_epsilon;
        if !(epsilon > 0.0 && epsilon < 1.0) {
            return Err(ConfigError::field(
                MODEL,
                "layer_norm_epsilon",
                epsilon,
                "expected 0 < epsilon < 1",
            ));
        }
        Ok(())
    }
}

fn published_buckets() -> usize {
    32
}

fn published_distance() -> usize {
    128
}

fn published_epsilon() -> f64 {
    1e-6
}
