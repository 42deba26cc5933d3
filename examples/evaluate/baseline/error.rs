//! What can go wrong.

use std::{io, path::PathBuf};

use conceptrol_core::{
    message::shown_path,
    models::{
        autoencoder_kl::AutoencoderError, image::ImageError, scheduler::SchedulerError,
        weights::WeightError,
    },
    pipeline::PipelineError,
};
use conceptrol_sd::unet::UNetError;

/// A LoRA could not be trained, written or loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrainingError {
    /// A value of the request is out of its range.
    #[error("{name} is {value}, it must be {expected}")]
    BadRequest {
        /// The field.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        expected: String,
    },
    /// The model is of a kind that is not trained here.
    #[error("a LoRA is trained for Stable Diffusion 1.x in f32 only, this pipeline {found}")]
    Unsupported {
        /// What the pipeline is instead.
        found: &'static str,
    },
    /// The folder holds a run with other settings.
    #[error(
        "{}: holds a run with {name} = {found}, this one has {expected}: choose another folder",
        shown_path(folder)
    )]
    OtherRun {
        /// The folder.
        folder: PathBuf,
        /// The setting that differs first.
        name: String,
        /// Its value there.
        found: String,
        /// Its value in the request.
        expected: String,
    },
    /// A file of the run is damaged.
    #[error("{}: {reason}", shown_path(path))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("{}", shown_path(path))]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The loss is not finite; the checkpoint is of a step before.
    #[error(
        "the loss of step {step} is not finite: a damaged model, or a learning rate that is too high"
    )]
    NotFinite {
        /// The step.
        step: usize,
    },
    /// The run was cancelled; it goes on where it was when it is started again.
    #[error("the training was cancelled after step {step}")]
    Cancelled {
        /// Finished steps.
        step: usize,
    },
    /// The pipeline failed.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The UNet failed.
    #[error(transparent)]
    UNet(#[from] UNetError),
    /// The autoencoder failed.
    #[error(transparent)]
    Autoencoder(#[from] AutoencoderError),
    /// The noise schedule cannot be trained on.
    #[error(transparent)]
    Scheduler(#[from] SchedulerError),
    /// A picture failed.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A checkpoint or LoRA file is not one for this model.
    #[error(transparent)]
    Weights(#[from] WeightError),
}

impl TrainingError {
    /// A value that is out of its range.
    pub(super) fn bad(name: &'static str, value: String, expected: impl Into<String>) -> Self {
        Self::BadRequest {
            name,
            value,
            expected: expected.into(),
        }
    }

    /// For `map_err`: the file that an I/O error is about.
    pub(super) fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
