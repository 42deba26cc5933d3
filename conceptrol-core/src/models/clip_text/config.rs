use std::path::Path;

use serde::Deserialize;

use super::ClipEncoderConfig;
use crate::models::config::{ConfigError, read_config};
use crate::models::nn::Activation;

/// The `eos_token_id` of files written before the value was corrected; it asks for the older pooling rule.
const LEGACY_EOS: u32 = 2;

/// `config.json` of a `CLIPTextModel` or `CLIPTextModelWithProjection`.
///
/// The sizes of the transformer must be in the file; the rest has the defaults of `transformers`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct ClipTextConfig {
    /// Class names; one that ends in `WithProjection` has a text projection.
    #[serde(default)]
    pub architectures: Vec<String>,
    /// Rows of the token embedding.
    #[serde(default = "default_vocab_size")]
    pub vocab_size: usize,
    /// Width of the transformer.
    pub hidden_size: usize,
    /// Inner width of the feed-forward part.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Number of heads.
    pub num_attention_heads: usize,
    /// Longest prompt in tokens.
    #[serde(default = "default_max_position_embeddings")]
    pub max_position_embeddings: usize,
    /// Activation of the feed-forward part.
    #[serde(default = "default_hidden_act")]
    pub hidden_act: Activation,
    /// Epsilon of the layer norms.
    #[serde(default = "default_layer_norm_eps")]
    pub layer_norm_eps: f64,
    /// Rows of the text projection.
    #[serde(default = "default_projection_dim")]
    pub projection_dim: usize,
    /// End-of-text id; 2 stands for "the largest id in the prompt", see [`Self::pooled_position`].
    #[serde(default = "default_eos_token_id")]
    pub eos_token_id: u32,
}

impl ClipTextConfig {
    /// Reads and checks a `config.json`.
    ///
    /// # Errors
    /// If the file cannot be read, lacks a field, or no model can be built from it.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let config: Self = read_config(path)?;
        config.validate()?;
        Ok(config)
    }

    /// Whether the model ends in a text projection.
    pub fn has_projection(&self) -> bool {
        self.architectures
            .iter()
            .any(|name| name.ends_with("WithProjection"))
    }

    /// The position whose state is pooled: the first largest id if `eos_token_id` is the legacy 2,
    /// else the first end-of-text id (0 if there is none, as in `transformers`).
    ///
    /// ```
    /// use conceptrol_core::models::clip_text::ClipTextConfig;
    ///
    /// let config = r#"{ "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1,
    ///     "num_attention_heads": 2, "eos_token_id": 7 }"#;
    /// let mut config: ClipTextConfig = serde_json::from_str(config)?;
    /// assert_eq!(config.pooled_position(&[1, 9, 7, 7]), 2);
    /// config.eos_token_id = 2;
    /// assert_eq!(config.pooled_position(&[1, 9, 7, 7]), 1);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn pooled_position(&self, ids: &[u32]) -> usize {
        let wanted = if self.eos_token_id == LEGACY_EOS {
            ids.iter().copied().max().unwrap_or(0)
        } else {
            self.eos_token_id
        };
        ids.iter().position(|&id| id == wanted).unwrap_or(0)
    }

    /// Checks that a model can be built; the file may be anybody's.
    ///
    /// # Errors
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let size = |field, value, max| ConfigError::check_size("clip text", field, value, max);
        size("vocab_size", self.vocab_size, 1 << 22)?;
        size(
            "max_position_embeddings",
            self.max_position_embeddings,
            1 << 16,
        )?;
        size("projection_dim", self.projection_dim, 1 << 16)?;
        self.encoder().validate("clip text")
    }

    pub(super) fn encoder(&self) -> ClipEncoderConfig {
        ClipEncoderConfig {
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: self.num_attention_heads,
            hidden_act: self.hidden_act,
            layer_norm_eps: self.layer_norm_eps,
        }
    }
}

fn default_vocab_size() -> usize {
    49408
}

fn default_max_position_embeddings() -> usize {
    77
}

fn default_hidden_act() -> Activation {
    Activation::QuickGelu
}

fn default_layer_norm_eps() -> f64 {
    1e-5
}

fn default_projection_dim() -> usize {
    512
}

fn default_eos_token_id() -> u32 {
    49407
}
