//! Everything that can go wrong between a folder and a picture.

use std::{error::Error, path::PathBuf};

use crate::{
    concept::{NounPhrase, SpanError},
    message::{shown, shown_path},
    models::{
        autoencoder_kl::AutoencoderError, clip_text::ClipTextError, config::ConfigError,
        image::ImageError, lora::LoraError, scheduler::SchedulerError,
        textual_inversion::TextualInversionError, tokenizer::TokenizerError, weights::WeightError,
    },
    pipeline::{IdentityError, Stage, model_files::no_model},
    seam::{AttentionError, InstallError, MaskError},
};

/// A pipeline could not be loaded, or a request not be carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The folder holds a pipeline of another family.
    #[error("{}: a {}, expected {expected}", shown_path(path), shown(class_name))]
    WrongFamily {
        /// The file that says so.
        path: PathBuf,
        /// The class it names.
        class_name: String,
        /// The classes of the family.
        expected: String,
    },
    /// The path is neither a folder nor a file that a model can be in.
    #[error("{}", no_model(path))]
    NoModel {
        /// The path.
        path: PathBuf,
    },
    /// Two parts of a model that do not belong together.
    #[error("{part}: {found} {axis} instead of {expected}")]
    Mismatch {
        /// What does not fit.
        part: &'static str,
        /// What is counted.
        axis: &'static str,
        /// What it has.
        found: usize,
        /// What the rest of the model takes.
        expected: usize,
    },
    /// The model's concept block is not known.
    #[error("the concept block of this model is not known: name one in conceptrol.json or the request; its sites are {}", sites.join(", "))]
    NoConceptBlock {
        /// The sites to choose from.
        sites: Vec<String>,
    },
    /// Which phrase a reference picture is of does not follow from the prompt.
    #[error(
        "which phrase the reference is of does not follow from the prompt, {}",
        listed(candidates)
    )]
    AmbiguousConcept {
        /// The phrases of the prompt.
        candidates: Vec<NounPhrase>,
    },
    /// A request needs an adapter and none is loaded.
    #[error("{needed} needs an adapter, and none is loaded")]
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
    /// A model that repaints part of a picture, and a request without picture or region.
    #[error("this model repaints part of a picture, and the request has no {missing}")]
    NothingToRepaint {
        /// What it does not have.
        missing: &'static str,
    },
    /// The family does not have what was asked for.
    #[error("{family} has no {what}")]
    Unsupported {
        /// The family.
        family: &'static str,
        /// What was asked for.
        what: String,
    },
    /// A concept without a picture, where one is needed.
    #[error("concept `{concept}` has no reference picture")]
    NoPicture {
        /// The concept.
        concept: String,
    },
    /// A concept without words, where a mask is read from them.
    #[error(
        "concept `{concept}` has no words to read a mask from: give it words, a mask, or use the plain adapter"
    )]
    NoWords {
        /// The concept.
        concept: String,
    },
    /// A concept cannot be used.
    #[error("concept `{concept}`")]
    Concept {
        /// The concept.
        concept: String,
        /// Why not.
        source: SpanError,
    },
    /// Two concepts share words.
    #[error(transparent)]
    Overlap(SpanError),
    /// Numbers are not finite: a damaged file, or a type or strength beyond its range.
    #[error("{what} are not finite {stage} in {dtype}: {advice}")]
    NotFinite {
        /// Which numbers.
        what: String,
        /// Where they were first seen.
        stage: Stage,
        /// The type of the computation.
        dtype: String,
        /// What to try.
        advice: String,
    },
    /// The device did not give what it had computed: a remote one is gone, or a card failed.
    #[error("the device failed: {reason}")]
    Device {
        /// What Burn says.
        reason: String,
    },
    /// The generation would not fit into memory.
    #[error("this needs about {} of memory and {} are free: {advice}", gigabytes(*needed), gigabytes(*available))]
    Memory {
        /// Bytes that are needed.
        needed: u64,
        /// Bytes that are free.
        available: u64,
        /// What to lower.
        advice: String,
    },
    /// The observer or another thread asked to stop.
    #[error("cancelled {stage}")]
    Cancelled {
        /// How far it came.
        stage: Stage,
    },
    /// A weight file.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// Learnt words.
    #[error(transparent)]
    TextualInversion(#[from] TextualInversionError),
    /// The embedding of a face.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A low-rank adapter.
    #[error(transparent)]
    Lora(#[from] LoraError),
    /// A configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// A text encoder.
    #[error(transparent)]
    ClipText(#[from] ClipTextError),
    /// The autoencoder.
    #[error(transparent)]
    Autoencoder(#[from] AutoencoderError),
    /// The scheduler.
    #[error(transparent)]
    Scheduler(#[from] SchedulerError),
    /// A picture.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A processor.
    #[error(transparent)]
    Attention(#[from] AttentionError),
    /// A plan or session.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// A mask.
    #[error(transparent)]
    Mask(#[from] MaskError),
    /// A part that only this family has: its adapter, its denoiser.
    #[error(transparent)]
    Family(Box<dyn Error + Send + Sync>),
}

impl PipelineError {
    /// A value of a request that is out of its range.
    pub fn bad_request(
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

    /// An error of a part that only one family has.
    pub fn family(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Family(Box::new(error))
    }
}

/// `3.4 GB`
#[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

/// Phrases with what they are.
fn listed(candidates: &[NounPhrase]) -> String {
    if candidates.is_empty() {
        return "which has no noun phrase".into();
    }
    let phrases: Vec<String> = candidates
        .iter()
        .map(|phrase| format!("`{}` ({})", shown(&phrase.text), phrase.role))
        .collect();
    format!("whose phrases are {}: name one", phrases.join(", "))
}
