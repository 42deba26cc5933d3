use std::path::PathBuf;

use conceptrol_core::message::{shown, shown_path};
use conceptrol_core::models::{clip_vision::ClipVisionError, weights::WeightError};
use conceptrol_core::pipeline::PipelineError;

/// Why an IP-Adapter could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdapterError {
    /// The file cannot be read, or its tensors are not those of the adapter it seems to be.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// The file holds something else than an IP-Adapter.
    #[error("{}: no ip-adapter, {}", shown_path(path), shown(reason))]
    NotAnAdapter {
        /// The file.
        path: PathBuf,
        /// What is missing or strange.
        reason: String,
    },
    /// An adapter of a kind that is recognised but not supported.
    #[error(
        "{}: this is {kind}, which is not supported (supported are base, plus, full and faceid ip-adapters)",
        shown_path(path)
    )]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// The adapter was trained for a model with another text encoder.
    #[error(
        "{}: made for a cross-attention dimension of {adapter}, the model has {model}",
        shown_path(path)
    )]
    CrossAttentionDim {
        /// The file.
        path: PathBuf,
        /// Width of the text states the adapter knows.
        adapter: usize,
        /// Width of the model's text states.
        model: usize,
    },
    /// The adapter has weights for another set of attention sites.
    #[error(
        "{}: weights for {adapter} attention sites, the model has {model} cross-attention sites{}",
        shown_path(path),
        match index {
            Some(index) => format!(" (ip_adapter.{index} is on one side only)"),
            None => String::new(),
        }
    )]
    Sites {
        /// The file.
        path: PathBuf,
        /// Sites in the file.
        adapter: usize,
        /// Cross-attention sites of the model.
        model: usize,
        /// The first number that only one of them has.
        index: Option<usize>,
    },
    /// The image encoder is not the one the adapter was trained with.
    #[error(
        "the ip-adapter expects an image encoder with a {feature} of {expected}, this one has {actual}"
    )]
    Encoder {
        /// The encoder's output in question.
        feature: &'static str,
        /// Width the adapter expects.
        expected: usize,
        /// Width of the encoder.
        actual: usize,
    },
    /// Tokens of a `FaceID` adapter were asked for without a face.
    #[error("the adapter reads the embedding of a face, and there is none")]
    NeedsFace,
    /// A picture could not be encoded.
    #[error(transparent)]
    Vision(#[from] ClipVisionError),
}

impl From<AdapterError> for PipelineError {
    fn from(error: AdapterError) -> Self {
        Self::family(error)
    }
}
