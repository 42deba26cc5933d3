use std::path::PathBuf;

use crate::message::{shown, shown_path};
use crate::models::weights::WeightError;

/// Why learnt words could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextualInversionError {
    /// The file cannot be read or is damaged.
    #[error(transparent)]
    File(#[from] WeightError),
    /// The file holds something else.
    #[error("{}: no textual inversion, {}", shown_path(path), shown(reason))]
    NotOne {
        /// The file.
        path: PathBuf,
        /// What is strange.
        reason: String,
    },
    /// The vectors are for another text encoder.
    #[error(
        "{}: the vectors of `{}` are {found} wide, the text encoder {}",
        shown_path(path),
        shown(token),
        widths(expected)
    )]
    Width {
        /// The file.
        path: PathBuf,
        /// The word.
        token: String,
        /// Width of its vectors.
        found: usize,
        /// Widths of the text encoders it could be for.
        expected: Vec<usize>,
    },
    /// The tokenizer has the word already.
    #[error(
        "{}: `{}` is a token already; give it another name",
        shown_path(path),
        shown(token)
    )]
    Known {
        /// The file.
        path: PathBuf,
        /// The word.
        token: String,
    },
}

fn widths(expected: &[usize]) -> String {
    let widths: Vec<String> = expected.iter().map(ToString::to_string).collect();
    widths.join(" and ")
}
