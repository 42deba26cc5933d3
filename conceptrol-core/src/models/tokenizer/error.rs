//! Why a tokenizer could not be read.

use std::io;
use std::path::PathBuf;

/// A tokenizer's files are missing or do not fit together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// A file the tokenizer needs is not there.
    #[error("{} is missing: {needed}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What it is needed for.
        needed: &'static str,
    },
    /// A file could not be read.
    #[error("{} cannot be read: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is larger than any tokenizer's.
    #[error("{} has {size} bytes, more than the {limit} a tokenizer file may have", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// A file is not what it should be.
    #[error("{} is malformed: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A special token has no id.
    #[error("the {role} token `{token}` is not in the vocabulary of {}", path.display())]
    UnknownSpecial {
        /// The tokenizer's folder or file.
        path: PathBuf,
        /// Which token it is: start, end, padding or unknown.
        role: &'static str,
        /// The token.
        token: String,
    },
    /// A text the tokenizer refuses.
    #[error("the prompt cannot be tokenized: {reason}")]
    Prompt {
        /// What is wrong.
        reason: String,
    },
}
