//! Why a tokenizer could not be read.

use std::io;
use std::path::PathBuf;

use crate::message::{shown, shown_path};

/// A tokenizer's files are missing or do not fit together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// A file the tokenizer needs is not there.
    #[error("{} is missing: {needed}", shown_path(path))]
    Missing {
        /// The file.
        path: PathBuf,
        /// What it is needed for.
        needed: &'static str,
    },
    /// A file could not be read.
    #[error("cannot read {}", shown_path(path))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is larger than any tokenizer's.
    #[error(
        "{} has {size} bytes, more than the {limit} a tokenizer file may have",
        shown_path(path)
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// A file is not what it should be.
    #[error("{} is malformed: {}", shown_path(path), shown(reason))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A special token has no id.
    #[error(
        "the {role} token `{}` is not in the vocabulary of {}",
        shown(token),
        shown_path(path)
    )]
    UnknownSpecial {
        /// The tokenizer's folder or file.
        path: PathBuf,
        /// Which token it is: start, end, padding or unknown.
        role: &'static str,
        /// The token.
        token: String,
    },
    /// A word cannot be added.
    #[error("`{}` is a token already, or empty", shown(word))]
    Known {
        /// The word.
        word: String,
    },
    /// A text the tokenizer refuses.
    #[error("the prompt cannot be tokenized: {}", shown(reason))]
    Prompt {
        /// What is wrong.
        reason: String,
    },
}
