//! What an adapter sees pictures with.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use conceptrol_core::models::clip_vision::{ClipVisionConfig, ClipVisionModel};
use conceptrol_core::models::image::{ClipImageConfig, ImageError, RgbImage, clip_tensor};
use conceptrol_core::models::siglip_vision::{SiglipVisionConfig, SiglipVisionModel};
use conceptrol_core::models::weights::{Checkpoint, Weights};

use super::{AdapterError, AdapterKind};

/// The configuration of the image encoder of a kind of adapter.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ImageEncoderConfig {
    /// CLIP's image tower with projection (`XLabs`).
    Clip(ClipVisionConfig),
    /// `SigLIP`'s image tower with head (`InstantX`).
    Siglip(SiglipVisionConfig),
}

impl AdapterKind {
    /// The image encoder it was trained with.
    pub const fn encoder(self) -> &'static str {
        match self {
            Self::XLabs => "openai/clip-vit-large-patch14",
            Self::InstantX => "google/siglip-so400m-patch14-384",
        }
    }
}

/// `openai/clip-vit-large-patch14`.
const CLIP_VIT_L: &str = r#"{ "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
    "num_attention_heads": 16, "image_size": 224, "patch_size": 14, "projection_dim": 768 }"#;

impl ImageEncoderConfig {
    /// The published encoder of a kind of adapter.
    ///
    /// # Panics
    /// Never.
    pub fn published(kind: AdapterKind) -> Self {
        match kind {
            AdapterKind::XLabs => {
                let config = ClipVisionConfig::from_json(CLIP_VIT_L);
                Self::Clip(config.expect("a published configuration"))
            }
            AdapterKind::InstantX => Self::Siglip(SiglipVisionConfig::so400m_384()),
        }
    }

    /// Reads a `config.json`.
    ///
    /// # Errors
    /// If it cannot be read, or is of another model.
    pub fn from_file(kind: AdapterKind, path: &Path) -> Result<Self, AdapterError> {
        Ok(match kind {
            AdapterKind::XLabs => Self::Clip(ClipVisionConfig::from_file(path)?),
            AdapterKind::InstantX => Self::Siglip(SiglipVisionConfig::from_file(path)?),
        })
    }

    /// The configuration of a folder, or of a file: beside it, or the published one if its tensors are that one's.
    ///
    /// # Errors
    /// [`AdapterError::UnknownEncoder`], and those of reading it.
    pub(crate) fn of(
        kind: AdapterKind,
        path: &Path,
        file: &Checkpoint,
    ) -> Result<Self, AdapterError> {
        if path.is_dir() {
            return Self::from_file(kind, &path.join("config.json"));
        }
        let beside = path.with_file_name("config.json");
        if beside.exists() {
            return Self::from_file(kind, &beside);
        }
        let published = Self::published(kind);
        let positions = file.get("vision_model.embeddings.position_embedding.weight");
        if positions.is_some_and(|(_, shape)| shape == published.positions()) {
            return Ok(published);
        }
        Err(AdapterError::UnknownEncoder {
            path: path.to_owned(),
            encoder: kind.encoder(),
        })
    }

    /// Width of the embedding of a picture.
    pub const fn embedding_dim(&self) -> usize {
        match self {
            Self::Clip(config) => config.projection_dim,
            Self::Siglip(config) => config.encoder.hidden_size,
        }
    }

    fn positions(&self) -> [usize; 2] {
        match self {
            Self::Clip(config) => [config.tokens(), config.encoder.hidden_size],
            Self::Siglip(config) => [config.tokens(), config.encoder.hidden_size],
        }
    }

    fn image_size(&self) -> usize {
        match self {
            Self::Clip(config) => config.image_size,
            Self::Siglip(config) => config.image_size,
        }
    }

    /// What happens to a picture before the encoder sees it.
    fn preprocessing(&self) -> ClipImageConfig {
        let side = u32::try_from(self.image_size()).expect("validated with the configuration");
        match self {
            Self::Clip(_) => ClipImageConfig {
                size: side,
                crop_size: side,
                ..ClipImageConfig::default()
            },
            Self::Siglip(_) => ClipImageConfig::siglip(side),
        }
    }
}

/// An image encoder.
#[derive(Module, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, most of whose size is in its tensors"
)]
pub enum ImageEncoder {
    /// CLIP's image tower with projection.
    Clip(ClipVisionModel),
    /// `SigLIP`'s image tower with head.
    Siglip(SiglipVisionModel),
}

impl ImageEncoder {
    /// Builds the model from the root of its checkpoint.
    pub fn new(config: &ImageEncoderConfig, w: &Weights) -> Self {
        match config {
            ImageEncoderConfig::Clip(config) => Self::Clip(ClipVisionModel::new(config, w)),
            ImageEncoderConfig::Siglip(config) => Self::Siglip(SiglipVisionModel::new(config, w)),
        }
    }

    /// The configuration it was built from.
    pub fn config(&self) -> ImageEncoderConfig {
        match self {
            Self::Clip(model) => ImageEncoderConfig::Clip(model.config().clone()),
            Self::Siglip(model) => ImageEncoderConfig::Siglip(model.config().clone()),
        }
    }

    /// Pictures as it takes them, in f32, `[pictures, 3, size, size]`.
    ///
    /// # Errors
    /// A picture without pixels.
    pub fn pixels(&self, pictures: &[RgbImage], device: &Device) -> Result<Tensor<4>, ImageError> {
        clip_tensor(pictures, &self.config().preprocessing(), device)
    }

    /// The embedding of each picture.
    ///
    /// # Shapes
    /// `pixels` `[pictures, 3, size, size]`, normalised -> `[pictures, embedding_dim]`
    ///
    /// # Errors
    /// Pixels of another size, and a tower without head.
    pub fn embed(&self, pixels: Tensor<4>) -> Result<Tensor<2>, AdapterError> {
        Ok(match self {
            Self::Clip(model) => model.image_embeds(pixels)?,
            Self::Siglip(model) => model.pooled(pixels)?,
        })
    }
}
