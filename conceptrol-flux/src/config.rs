//! Sizes of a FLUX transformer, as its `config.json` gives them.

use std::path::Path;

use conceptrol_core::models::config::{ConfigError, Fields};
use serde::Serialize;

/// What errors call the model.
pub(crate) const MODEL: &str = "flux transformer";
/// Largest width; the published models stay far below it.
const WIDEST: usize = 1 << 20;
/// Largest number of blocks of one kind.
const MOST_BLOCKS: usize = 1 << 10;
/// Channels of a head that rotate with each axis in the published models.
const PUBLISHED_AXES: [usize; 3] = [16, 56, 56];

/// Sizes of the FLUX transformer (MMDiT), with the field names of the diffusers `config.json`.
///
/// ```
/// use conceptrol_flux::FluxConfig;
///
/// let config = FluxConfig::schnell();
/// assert_eq!(config.inner_dim(), 3072);
/// assert!(!config.guidance_embeds);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FluxConfig {
    /// Side of the transformer's own patches; 1 in every FLUX model (packing is done outside).
    pub patch_size: usize,
    /// Channels of a packed latent token: 4 x the channels of the autoencoder.
    pub in_channels: usize,
    /// Channels of an output token; absent means [`in_channels`](Self::in_channels).
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
    pub guidance_embeds: bool,
    /// Channels of a head that rotate with each of the three position axes (index, row, column).
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
            axes_dims_rope: PUBLISHED_AXES,
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

    /// Reads a `config.json`.
    ///
    /// # Errors
    /// If the file cannot be read, lacks a field, or no model can be built from it.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        Self::from_fields(&Fields::open(MODEL, path)?)
    }

    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// If it lacks a field, or no model can be built from it.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        Self::from_fields(&Fields::parse(MODEL, text)?)
    }

    pub(crate) fn from_fields(fields: &Fields) -> Result<Self, ConfigError> {
        fields.must_be("patch_size", 1)?;
        let in_channels = fields.size("in_channels", 1..=WIDEST)?;
        if !in_channels.is_multiple_of(4) {
            return Err(fields.error("in_channels", "a multiple of 4"));
        }
        fields.must_be("out_channels", in_channels)?;
        let attention_head_dim = fields.size("attention_head_dim", 1..=1 << 12)?;
        Ok(Self {
            patch_size: 1,
            in_channels,
            out_channels: None,
            num_layers: fields.size("num_layers", 1..=MOST_BLOCKS)?,
            num_single_layers: fields.size("num_single_layers", 1..=MOST_BLOCKS)?,
            attention_head_dim,
            num_attention_heads: fields.size("num_attention_heads", 1..=1 << 12)?,
            joint_attention_dim: fields.size("joint_attention_dim", 1..=WIDEST)?,
            pooled_projection_dim: fields.size("pooled_projection_dim", 1..=WIDEST)?,
            guidance_embeds: fields.flag_or("guidance_embeds", false)?,
            axes_dims_rope: axes(fields, attention_head_dim)?,
        })
    }
}

/// Channels of a head that rotate with each axis: pairs, which fill the head.
fn axes(fields: &Fields, head_dim: usize) -> Result<[usize; 3], ConfigError> {
    const FIELD: &str = "axes_dims_rope";
    let axes = match fields.value(FIELD) {
        None => PUBLISHED_AXES,
        Some(_) => {
            let axes = fields.sizes(FIELD, 3..=3, 0..=1 << 12)?;
            [axes[0], axes[1], axes[2]]
        }
    };
    if axes.iter().sum::<usize>() != head_dim || axes.iter().any(|axis| axis % 2 != 0) {
        let expected = format!("three even numbers that sum to attention_head_dim {head_dim}");
        return Err(fields.error(FIELD, expected));
    }
    Ok(axes)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::FluxConfig;

    fn with(field: &str, value: Value) -> Result<FluxConfig, String> {
        let mut config = json!(FluxConfig::dev());
        config[field] = value;
        FluxConfig::from_json(&config.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn published_models_are_valid() {
        assert_eq!(with("patch_size", json!(1)).unwrap(), FluxConfig::dev());
        let schnell = with("guidance_embeds", Value::Null).unwrap();
        assert_eq!(schnell, FluxConfig::schnell());
        assert_eq!(
            with("axes_dims_rope", Value::Null).unwrap(),
            FluxConfig::dev()
        );
        assert_eq!(FluxConfig::dev().mlp_dim(), 12288);
        assert_eq!(FluxConfig::dev().latent_channels(), 16);
    }

    #[test]
    fn contradictions_are_named() {
        let message = |field, value| with(field, value).expect_err("refused");
        assert_eq!(
            message("axes_dims_rope", json!([16, 56, 58])),
            "flux transformer field `axes_dims_rope` is [16,56,58], but must be \
             three even numbers that sum to attention_head_dim 128"
        );
        let overflow = json!([u64::MAX - 1, 2, 128]);
        assert!(message("axes_dims_rope", overflow).contains("axes_dims_rope"));
        assert!(message("num_attention_heads", json!(0)).contains("num_attention_heads` is 0"));
        assert!(message("out_channels", json!(16)).contains("out_channels` is 16, but must be 64"));
        assert!(message("in_channels", json!(6)).contains("a multiple of 4"));
    }
}
