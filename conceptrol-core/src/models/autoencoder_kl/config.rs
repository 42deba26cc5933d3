use std::path::Path;

use burn::tensor::FloatDType;
use serde::Deserialize;

use crate::models::config::{ConfigError, read_config};

const MODEL: &str = "autoencoder";

/// `config.json` of an `AutoencoderKL`, with the defaults of `diffusers`; only `block_out_channels` has none.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct AutoencoderKlConfig {
    /// Channels of a picture going in.
    #[serde(default = "three")]
    pub in_channels: usize,
    /// Channels of a picture coming out.
    #[serde(default = "three")]
    pub out_channels: usize,
    /// Kinds of the encoder's levels; only `DownEncoderBlock2D` is known.
    #[serde(default)]
    pub down_block_types: Option<Vec<String>>,
    /// Kinds of the decoder's levels; only `UpDecoderBlock2D` is known.
    #[serde(default)]
    pub up_block_types: Option<Vec<String>>,
    /// Width of each level, the picture's first.
    pub block_out_channels: Vec<usize>,
    /// Residual blocks of an encoder level; the decoder has one more.
    #[serde(default = "one")]
    pub layers_per_block: usize,
    /// Activation, always `silu`.
    #[serde(default = "silu")]
    pub act_fn: String,
    /// Channels of the latents.
    #[serde(default = "four")]
    pub latent_channels: usize,
    /// Groups of the group norms.
    #[serde(default = "thirty_two")]
    pub norm_num_groups: usize,
    /// Picture size of the training, in pixels: the size of a tile in `diffusers`.
    #[serde(default = "thirty_two")]
    pub sample_size: usize,
    /// Latents are multiplied by this for the denoiser.
    #[serde(default = "default_scaling_factor")]
    pub scaling_factor: f64,
    /// Subtracted from latents before they are scaled.
    #[serde(default)]
    pub shift_factor: Option<f64>,
    /// Per-channel means; no supported model has them.
    #[serde(default)]
    pub latents_mean: Option<Vec<f64>>,
    /// Per-channel deviations; no supported model has them.
    #[serde(default)]
    pub latents_std: Option<Vec<f64>>,
    /// Whether half precision overflows in this model: see [`Self::compute_dtype`].
    #[serde(default = "yes")]
    pub force_upcast: bool,
    /// Whether a 1x1 convolution follows the encoder.
    #[serde(default = "yes")]
    pub use_quant_conv: bool,
    /// Whether a 1x1 convolution precedes the decoder.
    #[serde(default = "yes")]
    pub use_post_quant_conv: bool,
    /// Whether the innermost block has attention.
    #[serde(default = "yes")]
    pub mid_block_add_attention: bool,
}

impl AutoencoderKlConfig {
    /// Reads and checks a `config.json`.
    ///
    /// # Errors
    /// If the file cannot be read, lacks a field, or no model can be built from it.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let config: Self = read_config(path)?;
        config.validate()?;
        Ok(config)
    }

    /// Pixels per latent cell along an edge: 8 for four levels.
    pub fn downscale(&self) -> usize {
        1 << (self.block_out_channels.len() - 1)
    }

    /// The dtype to load the weights in when the pipeline wants `wanted`: f32 instead of f16 for a model that
    /// overflows in f16 (`force_upcast`), `wanted` otherwise.
    pub fn compute_dtype(&self, wanted: FloatDType) -> FloatDType {
        match wanted {
            FloatDType::F16 if self.force_upcast => FloatDType::F32,
            other => other,
        }
    }

    /// Checks that a model can be built; the file may be anybody's.
    ///
    /// # Errors
    /// Names the first field that is out of range or not supported.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let size = |field, value, max| ConfigError::check_size(MODEL, field, value, max);
        size("in_channels", self.in_channels, 1 << 10)?;
        size("out_channels", self.out_channels, 1 << 10)?;
        size("latent_channels", self.latent_channels, 1 << 10)?;
        size("layers_per_block", self.layers_per_block, 1 << 6)?;
        size("sample_size", self.sample_size, 1 << 16)?;
        size("norm_num_groups", self.norm_num_groups, 1 << 16)?;
        let levels = self.block_out_channels.len();
        if !(1..=8).contains(&levels) {
            return Err(ConfigError::field(
                MODEL,
                "block_out_channels",
                levels,
                "expected 1..=8 levels",
            ));
        }
        for &channels in &self.block_out_channels {
            size("block_out_channels", channels, 1 << 14)?;
            if !channels.is_multiple_of(self.norm_num_groups) {
                let expected = format!(
                    "expected a multiple of norm_num_groups {}",
                    self.norm_num_groups
                );
                return Err(ConfigError::field(
                    MODEL,
                    "block_out_channels",
                    channels,
                    expected,
                ));
            }
        }
        check_blocks(
            "down_block_types",
            self.down_block_types.as_ref(),
            "DownEncoderBlock2D",
            levels,
        )?;
        check_blocks(
            "up_block_types",
            self.up_block_types.as_ref(),
            "UpDecoderBlock2D",
            levels,
        )?;
        if self.act_fn != "silu" && self.act_fn != "swish" {
            return Err(ConfigError::field(
                MODEL,
                "act_fn",
                &self.act_fn,
                "expected silu",
            ));
        }
        if !(self.scaling_factor.is_finite() && self.scaling_factor != 0.0) {
            return Err(ConfigError::field(
                MODEL,
                "scaling_factor",
                self.scaling_factor,
                "expected a number other than 0",
            ));
        }
        if self.shift_factor.is_some_and(|shift| !shift.is_finite()) {
            return Err(ConfigError::field(
                MODEL,
                "shift_factor",
                self.shift_factor,
                "expected a number",
            ));
        }
        if self.latents_mean.is_some() || self.latents_std.is_some() {
            return Err(ConfigError::field(
                MODEL,
                "latents_mean",
                "set",
                "per-channel statistics are not supported",
            ));
        }
        Ok(())
    }
}

fn check_blocks(
    field: &'static str,
    found: Option<&Vec<String>>,
    known: &str,
    levels: usize,
) -> Result<(), ConfigError> {
    let Some(found) = found else { return Ok(()) };
    if let Some(other) = found.iter().find(|name| *name != known) {
        return Err(ConfigError::field(
            MODEL,
            field,
            other,
            format!("expected {known}"),
        ));
    }
    if found.len() != levels {
        let expected = format!("expected one entry for each of the {levels} block_out_channels");
        return Err(ConfigError::field(MODEL, field, found.len(), expected));
    }
    Ok(())
}

fn yes() -> bool {
    true
}

fn one() -> usize {
    1
}

fn three() -> usize {
    3
}

fn four() -> usize {
    4
}

fn thirty_two() -> usize {
    32
}

fn silu() -> String {
    "silu".to_owned()
}

fn default_scaling_factor() -> f64 {
    0.18215
}
