use std::path::Path;

use burn::tensor::FloatDType;
use serde_json::Value;

use crate::models::config::{ConfigError, Fields};
use crate::models::nn::Activation;

/// What errors call the model.
const MODEL: &str = "autoencoder";

/// `config.json` of an `AutoencoderKL`, with the defaults of `diffusers`; only `block_out_channels` has none.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AutoencoderKlConfig {
    /// Channels of a picture going in.
    pub in_channels: usize,
    /// Channels of a picture coming out.
    pub out_channels: usize,
    /// Width of each level, the picture's first.
    pub block_out_channels: Vec<usize>,
    /// Residual blocks of an encoder level; the decoder has one more.
    pub layers_per_block: usize,
    /// Channels of the latents.
    pub latent_channels: usize,
    /// Groups of the group norms.
    pub norm_num_groups: usize,
    /// Picture size of the training, in pixels: the size of a tile in `diffusers`.
    pub sample_size: usize,
    /// Latents are multiplied by this for the denoiser.
    pub scaling_factor: f64,
    /// Subtracted from latents before they are scaled.
    pub shift_factor: Option<f64>,
    /// Whether half precision overflows in this model: see [`Self::compute_dtype`].
    pub force_upcast: bool,
    /// Whether a 1x1 convolution follows the encoder.
    pub use_quant_conv: bool,
    /// Whether a 1x1 convolution precedes the decoder.
    pub use_post_quant_conv: bool,
    /// Whether the innermost block has attention.
    pub mid_block_add_attention: bool,
}

impl AutoencoderKlConfig {
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

    fn from_fields(fields: &Fields) -> Result<Self, ConfigError> {
        let block_out_channels = fields.sizes("block_out_channels", 1..=8, 1..=1 << 14)?;
        let norm_num_groups = fields.size_or("norm_num_groups", 1..=1 << 16, 32)?;
        if block_out_channels
            .iter()
            .any(|channels| channels % norm_num_groups != 0)
        {
            let expected = format!("multiples of norm_num_groups {norm_num_groups}");
            return Err(fields.error("block_out_channels", expected));
        }
        let levels = block_out_channels.len();
        check_blocks(fields, "down_block_types", "DownEncoderBlock2D", levels)?;
        check_blocks(fields, "up_block_types", "UpDecoderBlock2D", levels)?;
        if fields.choice_or("act_fn", Activation::Silu)? != Activation::Silu {
            return Err(fields.error("act_fn", "silu"));
        }
        let scaling_factor = fields.number_or("scaling_factor", 0.18215)?;
        if scaling_factor == 0.0 {
            return Err(fields.error("scaling_factor", "a number other than 0"));
        }
        // statistics of each channel instead of the two factors
        fields.must_be("latents_mean", Value::Null)?;
        fields.must_be("latents_std", Value::Null)?;
        Ok(Self {
            in_channels: fields.size_or("in_channels", 1..=1 << 10, 3)?,
            out_channels: fields.size_or("out_channels", 1..=1 << 10, 3)?,
            block_out_channels,
            layers_per_block: fields.size_or("layers_per_block", 1..=1 << 6, 1)?,
            latent_channels: fields.size_or("latent_channels", 1..=1 << 10, 4)?,
            norm_num_groups,
            sample_size: fields.size_or("sample_size", 1..=1 << 16, 32)?,
            scaling_factor,
            shift_factor: fields.optional_number("shift_factor")?,
            force_upcast: fields.flag_or("force_upcast", true)?,
            use_quant_conv: fields.flag_or("use_quant_conv", true)?,
            use_post_quant_conv: fields.flag_or("use_post_quant_conv", true)?,
            mid_block_add_attention: fields.flag_or("mid_block_add_attention", true)?,
        })
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
}

/// Checks that a list of block types, where it is there, names the one known type for each level.
fn check_blocks(
    fields: &Fields,
    field: &'static str,
    known: &str,
    levels: usize,
) -> Result<(), ConfigError> {
    match fields.value(field) {
        None => Ok(()),
        Some(found) if *found == Value::from(vec![known; levels]) => Ok(()),
        Some(_) => Err(fields.error(field, format!("{levels} times {known}"))),
    }
}
