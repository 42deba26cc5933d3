use std::path::Path;

use serde_json::Value;

use super::ClipEncoderConfig;
use crate::models::config::{ConfigError, Fields};

/// What errors call the model.
const MODEL: &str = "clip text encoder";

/// The `eos_token_id` of files written before the value was corrected; it asks for the older pooling rule.
const LEGACY_EOS: u32 = 2;

/// The class of both towers.
const WHOLE: &str = "CLIPModel";

/// The fields of one tower, which the configuration of a whole `CLIPModel` has in an object of its own; both project to the
/// same width, which is outside.
pub(in crate::models) fn half(fields: &Fields, half: &'static str) -> Result<Fields, ConfigError> {
    if fields.value(half).is_none() || fields.value("hidden_size").is_some() {
        return Ok(fields.clone());
    }
    let tower = fields.object(half, fields.model())?;
    Ok(match fields.value("projection_dim") {
        Some(width) => tower.with("projection_dim", width.clone()),
        None => tower,
    })
}

/// `config.json` of a `CLIPTextModel` or `CLIPTextModelWithProjection`, or of a whole `CLIPModel`.
///
/// The sizes of the transformer must be in the file; the rest has the defaults of `transformers`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ClipTextConfig {
    /// Whether the model ends in a text projection: one of its `architectures` ends in `WithProjection` or is `CLIPModel`.
    pub has_projection: bool,
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Longest prompt in tokens.
    pub max_position_embeddings: usize,
    /// The transformer.
    pub encoder: ClipEncoderConfig,
    /// Rows of the text projection.
    pub projection_dim: usize,
    /// End-of-text id; 2 stands for "the largest id in the prompt", see [`Self::pooled_position`].
    pub eos_token_id: u32,
}

impl ClipTextConfig {
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
        let names = fields.value("architectures").and_then(Value::as_array);
        let mut names = names.into_iter().flatten().filter_map(Value::as_str);
        let has_projection = names.any(|name| name.ends_with("WithProjection") || name == WHOLE);
        let fields = &half(fields, "text_config")?;
        Ok(Self {
            has_projection,
            vocab_size: fields.size_or("vocab_size", 1..=1 << 22, 49408)?,
            max_position_embeddings: fields.size_or("max_position_embeddings", 1..=1 << 16, 77)?,
            encoder: ClipEncoderConfig::from_fields(fields)?,
            projection_dim: fields.size_or("projection_dim", 1..=1 << 16, 512)?,
            eos_token_id: fields.size_or("eos_token_id", 0..=u32::MAX as usize, 49407)? as u32,
        })
    }

    /// The position whose state is pooled: the first largest id if `eos_token_id` is the legacy 2,
    /// else the first end-of-text id (0 if there is none, as in `transformers`).
    ///
    /// ```
    /// use conceptrol_core::models::clip_text::ClipTextConfig;
    ///
    /// let config = r#"{ "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1,
    ///     "num_attention_heads": 2, "eos_token_id": 7 }"#;
    /// let mut config = ClipTextConfig::from_json(config)?;
    /// assert_eq!(config.pooled_position(&[1, 9, 7, 7]), 2);
    /// config.eos_token_id = 2;
    /// assert_eq!(config.pooled_position(&[1, 9, 7, 7]), 1);
    /// # Ok::<(), conceptrol_core::models::config::ConfigError>(())
    /// ```
    pub fn pooled_position(&self, ids: &[u32]) -> usize {
        let wanted = if self.eos_token_id == LEGACY_EOS {
            ids.iter().copied().max().unwrap_or(0)
        } else {
            self.eos_token_id
        };
        ids.iter().position(|&id| id == wanted).unwrap_or(0)
    }
}
