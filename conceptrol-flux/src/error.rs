//! What can go wrong while loading or running FLUX.

use std::path::PathBuf;

use conceptrol_core::models::autoencoder_kl::AutoencoderError;
use conceptrol_core::models::clip_text::ClipTextError;
use conceptrol_core::models::config::ConfigError;
use conceptrol_core::models::tokenizer::TokenizerError;
use conceptrol_core::models::weights::WeightError;
use conceptrol_core::{AttentionError, InstallError, SpanError};

use crate::latents::SizeError;
use crate::load::AdapterError;

/// An error of the FLUX pipeline.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FluxError {
    /// A folder that is no FLUX model.
    #[error("{} holds a {found}, expected a FluxPipeline", path.display())]
    WrongFamily {
        /// The folder's `model_index.json`.
        path: PathBuf,
        /// The pipeline it names.
        found: String,
    },
    /// A configuration that cannot be read or used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A checkpoint that is damaged, incomplete or of another model.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// An adapter file that is damaged or for another model.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// Tokenizer files that are missing or damaged.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The CLIP encoder refused the prompt.
    #[error(transparent)]
    ClipText(#[from] ClipTextError),
    /// The autoencoder refused a picture.
    #[error(transparent)]
    Autoencoder(#[from] AutoencoderError),
    /// The words of a concept could not be located.
    #[error(transparent)]
    Span(#[from] SpanError),
    /// A picture size that does not fit the token grid.
    #[error(transparent)]
    Size(#[from] SizeError),
    /// The plan or a concept does not fit the model.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// A processor failed.
    #[error(transparent)]
    Attention(#[from] AttentionError),
    /// A token id beyond the encoder's vocabulary.
    #[error(
        "token id {id} is beyond the {vocabulary} entries of the t5 encoder: the tokenizer is of another model"
    )]
    TokenId {
        /// The id.
        id: u32,
        /// Entries of the vocabulary.
        vocabulary: usize,
    },
    /// Two parts of a folder that do not belong together.
    #[error("{part} gives {found} channels, the transformer takes {expected}")]
    Channels {
        /// The part.
        part: &'static str,
        /// What it gives.
        found: usize,
        /// What the transformer takes.
        expected: usize,
    },
    /// A request that asks for nothing or too much.
    #[error("{what} is {value}, expected {expected}")]
    Request {
        /// The field of the request.
        what: &'static str,
        /// What it says.
        value: String,
        /// What would be accepted.
        expected: &'static str,
    },
    /// The observer stopped the generation.
    #[error("stopped after step {done} of {total}")]
    Cancelled {
        /// Steps that were completed.
        done: usize,
        /// Steps asked for.
        total: usize,
    },
}
