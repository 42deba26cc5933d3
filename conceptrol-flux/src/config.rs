//! Sizes of a FLUX transformer, as its `config.json` gives them.

use std::path::Path;

use conceptrol_core::models::config::{ConfigError, read_config};
use serde::{Deserialize, Serialize};

/// What errors call the model.
const MODEL: &str = "flux transformer";
/// Largest value accepted for any size in a configuration; the published models stay far below it.
const SIZE_LIMIT: usize = 1 << 20;
/// Largest number of blocks of one kind.
const BLOCK_LIMIT: usize = 1 << 10;

/// Sizes of the FLUX transformer (MMDiT), with the field names of the diffusers `config.json`.
///
/// ```
/// use conceptrol_flux::FluxConfig;
///
/// let config = FluxConfig::schnell();
/// assert_eq!(config.inner_dim(), 3072);
/// assert!(!config.guidance_embeds);
/// config.validate()?;
/// # Ok::<(), conceptrol_core::models::config::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FluxConfig {
    /// Side of the transformer's own patches; 1 in every FLUX model (packing is done outside).
    #[serde(default = "one")]
    pub patch_size: usize,
    /// Channels of a packed latent token: 4 x the channels of the autoencoder.
    pub in_channels: usize,
    /// Channels of an output token; absent means [`in_channels`](Self::in_channels).
    #[serde(default)]
    pub out_channels: Option<usize>,
    /// Number of double (text and image weights apart) blocks.
    pub num_layers: usize,
    /// Number of single (shared weights) blocks.
    pub num_single_layers: usize,
    /// Channels of one attention head.
    pub attention_head_dim: usize,
    /// Number of attention heads.
    pub num_attention_heads: usize,
    /// Width of the T5 states.
    pub joint_attention_dim: usize,
    /// Width of the pooled CLIP vector.
    pub pooled_projection_dim: usize,
    /// Whether the model takes the guidance scale as an input (dev) or not (schnell).
    #[serde(default)]
    pub guidance_embeds: bool,
    /// Channels of a head that rotate with each of the three position axes (index, row, column).
    #[serde(default = "published_axes")]
    pub axes_dims_rope: [usize; 3],
}

impl FluxConfig {
    /// FLUX.1-dev: guidance is an input of the model.
    pub fn dev() -> Self {
        Self {
            guidance_embeds: true,
            ..Self::schnell()
        }
    }

    /// FLUX.1-schnell: distilled to few steps, no guidance input.
    pub fn schnell() -> Self {
        Self {
            patch_size: 1,
            in_channels: 64,
            out_channels: None,
            num_layers: 19,
            num_single_layers: 38,
            attention_head_dim: 128,
            num_attention_heads: 24,
            joint_attention_dim: 4096,
            pooled_projection_dim: 768,
            guidance_embeds: false,
            axes_dims_rope: published_axes(),
        }
    }

    /// Width of the token streams: heads x channels of a head.
    pub fn inner_dim(&self) -> usize {
        self.num_attention_heads * self.attention_head_dim
    }

    /// Width of the hidden layer of every MLP.
    pub fn mlp_dim(&self) -> usize {
        4 * self.inner_dim()
    }

    /// Channels of the autoencoder's latents: a token packs 2 x 2 of its cells.
    pub fn latent_channels(&self) -> usize {
        self.in_channels / 4
    }

    /// Reads and checks a `config.json`.
    ///
    /// # Errors
    /// If the file cannot be read, lacks a field, or no model can be built from it.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let config: Self = read_config(path)?;
        config.validate()?;
        Ok(config)
    }

    /// Checks that the sizes describe a model that can be built.
    ///
    /// # Errors
    /// Names the first field that is out of range or contradicts another.
    pub fn validate(&self) -> Result<(), ConfigError> {
        for (field, value, limit) in [
            ("in_channels", self.in_channels, SIZE_LIMIT),
            ("num_layers", self.num_layers, BLOCK_LIMIT),
            ("num_single_layers", self.num_single_layers, BLOCK_LIMIT),
            ("attention_head_dim", self.attention_head_dim, 1 << 12),
            ("num_attention_heads", self.num_attention_heads, 1 << 12),
            ("joint_attention_dim", self.joint_attention_dim, SIZE_LIMIT),
            (
                "pooled_projection_dim",
                self.pooled_projection_dim,
                SIZE_LIMIT,
            ),
        ] {
            ConfigError::check_size(MODEL, field, value, limit)?;
        }
        let axes = self.axes_dims_rope;
        let head_dim = self.attention_head_dim;
        let filled = axes
            .iter()
            .try_fold(0usize, |sum, axis| sum.checked_add(*axis));
        if filled != Some(head_dim) || axes.iter().any(|axis| axis % 2 != 0) {
            let expected =
                format!("expected three even numbers that sum to attention_head_dim {head_dim}");
            return Err(ConfigError::field(MODEL, "axes_dims_rope", axes, expected));
        }
        if self.patch_size != 1 {
            return Err(ConfigError::field(
                MODEL,
                "patch_size",
                self.patch_size,
                "expected 1",
            ));
        }
        let channels = self.in_channels;
        if !channels.is_multiple_of(4) {
            return Err(ConfigError::field(
                MODEL,
                "in_channels",
                channels,
                "expected a multiple of 4",
            ));
        }
        match self.out_channels {
            Some(out) if out != channels => {
                let expected = format!("expected in_channels {channels}");
                Err(ConfigError::field(MODEL, "out_channels", out, expected))
            }
            _ => Ok(()),
        }
    }
}

fn one() -> usize {
    1
}

fn published_axes() -> [usize; 3] {
    [16, 56, 56]
}

#[cfg(test)]
mod tests {
    use super::FluxConfig;

    #[test]
    fn published_models_are_valid() {
        FluxConfig::dev().validate().expect("dev");
        FluxConfig::schnell().validate().expect("schnell");
        assert_eq!(FluxConfig::dev().mlp_dim(), 12288);
        assert_eq!(FluxConfig::dev().latent_channels(), 16);
    }

    #[test]
    fn contradictions_are_named() {
        let message = |config: FluxConfig| config.validate().expect_err("refused").to_string();
        let axes = FluxConfig {
            axes_dims_rope: [16, 56, 58],
            ..FluxConfig::dev()
        };
        assert_eq!(
            message(axes),
            "flux transformer configuration: axes_dims_rope is [16, 56, 58], \
             expected three even numbers that sum to attention_head_dim 128"
        );
        let overflow = FluxConfig {
            axes_dims_rope: [usize::MAX - 1, 2, 128],
            ..FluxConfig::dev()
        };
        assert!(message(overflow).contains("axes_dims_rope"));
        let empty = FluxConfig {
            num_attention_heads: 0,
            ..FluxConfig::dev()
        };
        assert!(message(empty).contains("num_attention_heads is 0"));
        let narrow = FluxConfig {
            out_channels: Some(16),
            ..FluxConfig::dev()
        };
        assert!(message(narrow).contains("out_channels is 16, expected in_channels 64"));
    }
}
