use std::path::PathBuf;

use conceptrol_core::message::{shown, shown_path};
use conceptrol_core::models::{
    clip_vision::ClipVisionError, config::ConfigError, siglip_vision::SiglipVisionError,
    weights::WeightError,
};
use conceptrol_core::pipeline::PipelineError;

/// Why an adapter that reads reference pictures could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdapterError {
    /// The file cannot be read, or its tensors are not those of the adapter it seems to be.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// The configuration of an image encoder cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file that seems to be an IP-Adapter lacks what tells its sizes.
    #[error("{}: no ip-adapter for FLUX, {}", shown_path(path), shown(reason))]
    NotAnAdapter {
        /// The file.
        path: PathBuf,
        /// What is missing or strange.
        reason: String,
    },
    /// A file of a kind that is recognised but not an adapter this pipeline uses.
    #[error(
        "{}: this is {kind}, which is not supported as an adapter (OminiControl, and the ip-adapters of XLabs and InstantX are)",
        shown_path(path)
    )]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// The adapter was made for a transformer with another number of blocks.
    #[error(
        "{}: weights for {adapter} {blocks}, the model has {model}",
        shown_path(path)
    )]
    Blocks {
        /// The file.
        path: PathBuf,
        /// Which blocks.
        blocks: &'static str,
        /// Blocks the file has weights for.
        adapter: usize,
        /// Blocks of the model.
        model: usize,
    },
    /// No image encoder was given, and none is where one usually is.
    #[error(
        "{}: its image encoder ({encoder}) is not given, and is not in {}",
        shown_path(path),
        looked.iter().map(|place| shown_path(place).to_string()).collect::<Vec<_>>().join(", ")
    )]
    NoEncoder {
        /// The adapter's file.
        path: PathBuf,
        /// The encoder it was trained with.
        encoder: &'static str,
        /// Where it was looked for.
        looked: Vec<PathBuf>,
    },
    /// A file of an image encoder of unknown sizes without a configuration.
    #[error(
        "{}: no config.json beside it, and its tensors are not those of {encoder}",
        shown_path(path)
    )]
    UnknownEncoder {
        /// The file.
        path: PathBuf,
        /// The encoder the adapter was trained with.
        encoder: &'static str,
    },
    /// The image encoder is not the one the adapter was trained with.
    #[error(
        "the ip-adapter reads an image embedding of {expected} numbers, the image encoder gives {actual}"
    )]
    Encoder {
        /// Width the adapter reads.
        expected: usize,
        /// Width the encoder gives.
        actual: usize,
    },
    /// A picture could not be encoded by CLIP.
    #[error(transparent)]
    Clip(#[from] ClipVisionError),
    /// A picture could not be encoded by `SigLIP`.
    #[error(transparent)]
    Siglip(#[from] SiglipVisionError),
}

impl From<AdapterError> for PipelineError {
    fn from(error: AdapterError) -> Self {
        Self::family(error)
    }
}
