use std::path::Path;

use conceptrol_core::models::config::{Choice, ConfigError, Fields};

use super::UNetConfig;
use super::levels::MAX_WIDTH;

/// What errors call the model.
const MODEL: &str = "controlnet";
/// Channels of the embedding of a picture in all published models.
const EMBEDDING: [usize; 4] = [16, 32, 96, 256];
/// Most levels of that embedding.
const MAX_LEVELS: usize = 8;

/// A diffusers `ControlNetModel`, resolved from its `config.json`.
///
/// Fields are read as those of a [`UNetConfig`].
///
/// ```
/// use conceptrol_sd::config::{ControlNetConfig, UNetConfig};
///
/// let config = ControlNetConfig::for_unet(UNetConfig::sd15());
/// assert_eq!((config.encoder.down.len(), config.encoder.up.len()), (4, 0));
/// assert_eq!(config.downscale(), 8);
///
/// let error = ControlNetConfig::from_json(r#"{"_class_name": "T2IAdapter"}"#).unwrap_err();
/// assert!(error.to_string().contains(r#"must be "ControlNetModel""#), "{error}");
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ControlNetConfig {
    /// The half of the UNet that it is a copy of: there are no up blocks.
    pub encoder: UNetConfig,
    /// Channels of the control picture.
    pub picture_channels: usize,
    /// Channels of the embedding of that picture, one entry a level; each level after the first halves its sides.
    pub embedding_channels: Vec<usize>,
    /// Whether it was trained with blue before red (`controlnet_conditioning_channel_order` `bgr`).
    pub bgr: bool,
    /// Whether it gives one number a channel for the whole picture (`global_pool_conditions`, as of `shuffle`).
    pub global_pool: bool,
}

impl ControlNetConfig {
    /// Reads a `config.json`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when the file cannot be read or does not describe a model of this crate.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        Self::from_fields(&Fields::open(MODEL, path)?)
    }

    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when the text does not describe a model of this crate.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        Self::from_fields(&Fields::parse(MODEL, text)?)
    }

    /// The `ControlNet` that is made from a UNet, as the published ones are.
    pub fn for_unet(unet: UNetConfig) -> Self {
        Self {
            encoder: unet.encoder(),
            picture_channels: 3,
            embedding_channels: EMBEDDING.to_vec(),
            bgr: false,
            global_pool: false,
        }
    }

    /// Pixels of the picture along a side of a latent cell.
    pub fn downscale(&self) -> usize {
        1 << (self.embedding_channels.len() - 1)
    }

    fn from_fields(fields: &Fields) -> Result<Self, ConfigError> {
        fields.must_be("_class_name", "ControlNetModel")?;
        let channels = match fields.value("conditioning_embedding_out_channels") {
            None => EMBEDDING.to_vec(),
            Some(_) => fields.sizes(
                "conditioning_embedding_out_channels",
                1..=MAX_LEVELS,
                1..=MAX_WIDTH,
            )?,
        };
        let order = "controlnet_conditioning_channel_order";
        Ok(Self {
            encoder: UNetConfig::read(fields, false)?,
            // what comes in is a picture
            picture_channels: fields.size_or("conditioning_channels", 3..=3, 3)?,
            embedding_channels: channels,
            bgr: fields.choice_or(order, Order::Rgb)? == Order::Bgr,
            global_pool: fields.flag_or("global_pool_conditions", false)?,
        })
    }
}

/// Order of the channels of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Rgb,
    Bgr,
}

impl Choice for Order {
    const CHOICES: &'static [(&'static str, Self)] = &[("rgb", Self::Rgb), ("bgr", Self::Bgr)];
}
