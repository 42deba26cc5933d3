use std::path::Path;

use crate::models::clip_text::ClipEncoderConfig;
use crate::models::config::{ConfigError, read_config};
use crate::models::nn::Activation;
use serde::Deserialize;

const MODEL: &str = "clip vision";

/// `config.json` of a `CLIPVisionModelWithProjection`.
///
/// The sizes of the transformer must be in the file; the rest has the defaults of `transformers`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct ClipVisionConfig {
    /// Width of the transformer.
    pub hidden_size: usize,
    /// Inner width of the feed-forward part.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Number of heads.
    pub num_attention_heads: usize,
    /// Channels of the picture.
    #[serde(default = "default_num_channels")]
    pub num_channels: usize,
    /// Edge of the picture in pixels.
    #[serde(default = "default_image_size")]
    pub image_size: usize,
    /// Edge of a patch in pixels.
    #[serde(default = "default_patch_size")]
    pub patch_size: usize,
    /// Activation of the feed-forward part.
    #[serde(default = "default_hidden_act")]
    pub hidden_act: Activation,
    /// Epsilon of the layer norms.
    #[serde(default = "default_layer_norm_eps")]
    pub layer_norm_eps: f64,
    /// Width of the projected image embedding.
    #[serde(default = "default_projection_dim")]
    pub projection_dim: usize,
}

impl ClipVisionConfig {
    /// Reads and checks a `config.json`.
    ///
    /// # Errors
    /// If the file cannot be read, lacks a field, or no model can be built from it.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let config: Self = read_config(path)?;
        config.validate()?;
        Ok(config)
    }

    /// States per picture: one for each patch and one for the class.
    pub fn tokens(&self) -> usize {
        (self.image_size / self.patch_size).pow(2) + 1
    }

    /// Checks that a model can be built; the file may be anybody's.
    ///
    /// # Errors
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let size = |field, value, max| ConfigError::check_size(MODEL, field, value, max);
        size("num_channels", self.num_channels, 1 << 6)?;
        size("image_size", self.image_size, 1 << 12)?;
        size("patch_size", self.patch_size, self.image_size)?;
        size("projection_dim", self.projection_dim, 1 << 16)?;
        self.encoder().validate(MODEL)
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

fn default_num_channels() -> usize {
    3
}

fn default_image_size() -> usize {
    224
}

fn default_patch_size() -> usize {
    32
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
