//! Everything that can go wrong between a folder and a picture.

use std::{io, path::PathBuf};

use conceptrol_core::{
    InstallError, MaskError, SpanError,
    models::{
        autoencoder_kl::AutoencoderError, clip_text::ClipTextError, config::ConfigError,
        image::ImageError, tokenizer::TokenizerError, weights::WeightError,
    },
};

use crate::{adapter::AdapterError, config, unet::UNetError};

use conceptrol_core::models::scheduler::SchedulerError;

/// A pipeline could not be loaded, or a request not be carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// A file of the folder cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A JSON file is malformed.
    #[error("{}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and what.
        source: serde_json::Error,
    },
    /// The folder holds a pipeline of another family.
    #[error("{}: a {class_name}, this crate runs StableDiffusionPipeline and StableDiffusionXLPipeline", path.display())]
    WrongFamily {
        /// The folder.
        path: PathBuf,
        /// The class it names.
        class_name: String,
    },
    /// The model's concept block is not known.
    #[error("the concept block of this model is not known: name one in conceptrol.json or the request; its sites are {}", sites.join(", "))]
    NoConceptBlock {
        /// The cross-attention sites to choose from.
        sites: Vec<String>,
    },
    /// A request needs an adapter and none is loaded.
    #[error("{needed} needs an IP-Adapter, and none is loaded")]
    NoAdapter {
        /// What needs it.
        needed: String,
    },
    /// A value of the request is out of its range.
    #[error("{name} is {value}, it must be {expected}")]
    BadRequest {
        /// The field of the request.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        expected: String,
    },
    /// A concept without a picture, where one is needed.
    #[error("concept `{concept}` has no reference picture")]
    NoPicture {
        /// The concept.
        concept: String,
    },
    /// A concept cannot be used.
    #[error("concept `{concept}`: {source}")]
    Concept {
        /// The concept.
        concept: String,
        /// Why not.
        source: SpanError,
    },
    /// Two concepts share words.
    #[error(transparent)]
    Overlap(SpanError),
    /// The second text encoder has no projection, so there is no pooled embedding.
    #[error("text_encoder_2 has no text_projection")]
    NoProjection,
    /// The observer asked to stop.
    #[error("cancelled after step {step} of {total}")]
    Cancelled {
        /// Steps that were finished.
        step: usize,
        /// Steps of the generation.
        total: usize,
    },
    /// A weight file.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// A model configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The UNet's configuration.
    #[error("{}: {source}", path.display())]
    UNetConfig {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: config::ConfigError,
    },
    /// A tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// A text encoder.
    #[error(transparent)]
    ClipText(#[from] ClipTextError),
    /// The autoencoder.
    #[error(transparent)]
    Autoencoder(#[from] AutoencoderError),
    /// An adapter.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// The scheduler.
    #[error(transparent)]
    Scheduler(#[from] SchedulerError),
    /// A picture.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The UNet or a processor in it.
    #[error(transparent)]
    UNet(#[from] UNetError),
    /// A plan or session.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// A mask.
    #[error(transparent)]
    Mask(#[from] MaskError),
}

impl PipelineError {
    pub(crate) fn bad_request(
        name: &'static str,
        value: impl ToString,
        expected: impl Into<String>,
    ) -> Self {
        Self::BadRequest {
            name,
            value: value.to_string(),
            expected: expected.into(),
        }
    }
}
