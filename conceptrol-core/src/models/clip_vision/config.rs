use std::path::Path;

use crate::models::clip_text::{ClipEncoderConfig, half};
use crate::models::config::{ConfigError, Fields};

/// What errors call the model.
const MODEL: &str = "clip vision encoder";

/// `config.json` of a `CLIPVisionModelWithProjection`, or of a whole `CLIPModel`.
///
/// The sizes of the transformer must be in the file; the rest has the defaults of `transformers`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ClipVisionConfig {
    /// Channels of the picture.
    pub num_channels: usize,
    /// Edge of the picture in pixels.
    pub image_size: usize,
    /// Edge of a patch in pixels.
    pub patch_size: usize,
    /// The transformer.
    pub encoder: ClipEncoderConfig,
    /// Width of the projected image embedding.
    pub projection_dim: usize,
}

impl ClipVisionConfig {
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
        let fields = &half(fields, "vision_config")?;
        let image_size = fields.size_or("image_size", 1..=1 << 12, 224)?;
        Ok(Self {
            num_channels: fields.size_or("num_channels", 1..=1 << 6, 3)?,
            image_size,
            patch_size: fields.size_or("patch_size", 1..=image_size, 32)?,
            encoder: ClipEncoderConfig::from_fields(fields)?,
            projection_dim: fields.size_or("projection_dim", 1..=1 << 16, 512)?,
        })
    }

    /// States per picture: one for each patch and one for the class.
    pub fn tokens(&self) -> usize {
        (self.image_size / self.patch_size).pow(2) + 1
    }
}
