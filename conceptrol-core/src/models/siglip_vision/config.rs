use std::path::Path;

use crate::models::clip_text::{ClipEncoderConfig, half};
use crate::models::config::{ConfigError, Fields};

/// What errors call the model.
const MODEL: &str = "siglip vision encoder";

/// `config.json` of a `SiglipVisionModel`, or of a whole `SiglipModel`. What is absent has the defaults of `transformers`.
///
/// ```
/// use conceptrol_core::models::siglip_vision::SiglipVisionConfig;
///
/// // google/siglip-so400m-patch14-384
/// let config = SiglipVisionConfig::from_json(r#"{"model_type": "siglip", "vision_config": {
///     "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16,
///     "image_size": 384, "patch_size": 14 }}"#)?;
/// assert_eq!(config, SiglipVisionConfig::so400m_384());
/// assert_eq!(config.tokens(), 729);
/// # Ok::<(), conceptrol_core::models::config::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SiglipVisionConfig {
    /// Channels of the picture.
    pub num_channels: usize,
    /// Edge of the picture in pixels.
    pub image_size: usize,
    /// Edge of a patch in pixels.
    pub patch_size: usize,
    /// The transformer, whose layers are those of CLIP.
    pub encoder: ClipEncoderConfig,
    /// Whether the tower has the head that pools its states.
    pub has_head: bool,
}

impl SiglipVisionConfig {
    /// The tower of `google/siglip-so400m-patch14-384`.
    ///
    /// # Panics
    /// Never.
    pub fn so400m_384() -> Self {
        let text = r#"{ "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27,
            "num_attention_heads": 16, "image_size": 384, "patch_size": 14 }"#;
        Self::from_json(text).expect("a published configuration")
    }

    /// Reads a `config.json`.
    ///
    /// # Errors
    /// If the file cannot be read, or no model can be built from it.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        Self::from_fields(&Fields::open(MODEL, path)?)
    }

    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// If no model can be built from it.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        Self::from_fields(&Fields::parse(MODEL, text)?)
    }

    fn from_fields(fields: &Fields) -> Result<Self, ConfigError> {
        let mut fields = half(fields, "vision_config")?;
        for (field, default) in [
            ("hidden_size", 768.into()),
            ("intermediate_size", 3072.into()),
            ("num_hidden_layers", 12.into()),
            ("num_attention_heads", 12.into()),
            ("hidden_act", "gelu_pytorch_tanh".into()),
            ("layer_norm_eps", 1e-6.into()),
        ] as [(_, serde_json::Value); 6]
        {
            if fields.value(field).is_none() {
                fields = fields.with(field, default);
            }
        }
        let image_size = fields.size_or("image_size", 1..=1 << 12, 224)?;
        Ok(Self {
            num_channels: fields.size_or("num_channels", 1..=1 << 6, 3)?,
            image_size,
            patch_size: fields.size_or("patch_size", 1..=image_size, 16)?,
            encoder: ClipEncoderConfig::from_fields(&fields)?,
            has_head: fields.flag_or("vision_use_head", true)?,
        })
    }

    /// States per picture, one for each patch.
    pub fn tokens(&self) -> usize {
        (self.image_size / self.patch_size).pow(2)
    }
}
