use std::path::PathBuf;

use crate::{
    message::{shown, shown_path},
    models::{file::ReadError, weights::WeightError},
};

/// Why the embedding of a face could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A safetensors or torch file cannot be read or is damaged.
    #[error(transparent)]
    File(#[from] WeightError),
    /// A file cannot be read.
    #[error("cannot read {}", shown_path(path))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: ReadError,
    },
    /// The file or the numbers are no embeddings of faces.
    #[error(
        "{}no embedding of a face, {}",
        path.as_ref().map_or_else(String::new, |path| format!("{}: ", shown_path(path))),
        shown(reason)
    )]
    NotOne {
        /// The file, if it is one.
        path: Option<PathBuf>,
        /// What is strange.
        reason: String,
    },
}
