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
/// Pixels of a region in a token: 2 x 2 cells of 8 x 8.
const REGION: usize = 4 * 64;
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
    /// Channels of an input token: a packed latent token, 4 x the channels of the autoencoder; in FLUX Fill the same of the
    /// picture around the region to be repainted, and the 256 pixels of the region, behind it.
    pub in_channels: usize,
    /// Channels of an output token, a packed latent token; absent means [`in_channels`](Self::in_channels).
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

    /// FLUX.1-Fill-dev: repaints a region of a picture.
    pub fn fill() -> Self {
        let dev = Self::dev();
        Self {
            in_channels: 2 * dev.in_channels + REGION,
            out_channels: Some(dev.in_channels),
            ..dev
        }
    }

    /// Channels of a packed latent token.
    pub fn token_channels(&self) -> usize {
        self.out_channels.unwrap_or(self.in_channels)
    }

    /// Channels of the autoencoder's latents: a token packs 2 x 2 of its cells.
    pub fn latent_channels(&self) -> usize {
        self.token_channels() / 4
    }

    /// Whether a token carries a region and the picture around it beside its latents.
    pub fn reads_region(&self) -> bool {
        self.in_channels != self.token_channels()
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
        let out_channels = out_channels(fields, in_channels)?;
        let attention_head_dim = fields.size("attention_head_dim", 1..=1 << 12)?;
        Ok(Self {
            patch_size: 1,
            in_channels,
            out_channels,
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

/// Channels of an output token where they are not those of an input token: of a model that repaints.
fn out_channels(fields: &Fields, in_channels: usize) -> Result<Option<usize>, ConfigError> {
    const FIELD: &str = "out_channels";
    match fields.optional_size(FIELD, 1..=WIDEST)? {
        None => Ok(None),
        Some(channels) if channels == in_channels => Ok(None),
        Some(channels) if channels % 4 == 0 && 2 * channels + REGION == in_channels => {
            Ok(Some(channels))
        }
        Some(_) => {
            let latents = in_channels.checked_sub(REGION).map_or(0, |rest| rest / 2);
            let expected = match latents {
                0 => in_channels.to_string(),
                latents => format!("{in_channels}, or {latents} in a model that repaints"),
            };
            Err(fields.error(FIELD, expected))
        }
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
        let fill = json!(FluxConfig::fill()).to_string();
        let fill = FluxConfig::from_json(&fill).expect("Fill");
        assert_eq!(fill, FluxConfig::fill());
        assert_eq!((fill.in_channels, fill.latent_channels()), (384, 16));
        let mut wide = json!(fill);
        wide["out_channels"] = json!(32);
        let message = FluxConfig::from_json(&wide.to_string()).expect_err("refused");
        assert!(
            message
                .to_string()
                .contains("384, or 64 in a model that repaints")
        );
    }
}
