//! Reading a tokenizer's files, which are hostile input.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::de::DeserializeOwned;

use super::error::TokenizerError;

/// The largest real tokenizer file has 17 MB (multilingual T5).
const LIMIT: u64 = 64 << 20;

/// The text of a file.
pub(super) fn read(path: &Path, needed: &'static str) -> Result<String, TokenizerError> {
    let io_error = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => TokenizerError::Missing {
            path: path.into(),
            needed,
        },
        _ => TokenizerError::Io {
            path: path.into(),
            source,
        },
    };
    let file = File::open(path).map_err(io_error)?;
    let size = file.metadata().map_err(io_error)?.len();
    if size > LIMIT {
        return Err(TokenizerError::TooLarge {
            path: path.into(),
            size,
            limit: LIMIT,
        });
    }
    let mut text = String::new();
    // A pipe has no size: the limit must hold for what is read, too.
    file.take(LIMIT)
        .read_to_string(&mut text)
        .map_err(io_error)?;
    Ok(text)
}

/// A JSON file.
pub(super) fn read_json<T: DeserializeOwned>(
    path: &Path,
    needed: &'static str,
) -> Result<T, TokenizerError> {
    serde_json::from_str(&read(path, needed)?).map_err(|error| malformed(path, error.to_string()))
}

/// A JSON file that need not be there.
pub(super) fn read_json_if_present<T: DeserializeOwned>(
    path: &Path,
) -> Result<Option<T>, TokenizerError> {
    match read_json(path, "") {
        Err(TokenizerError::Missing { .. }) => Ok(None),
        other => other.map(Some),
    }
}

pub(super) fn malformed(path: &Path, reason: impl Into<String>) -> TokenizerError {
    TokenizerError::Malformed {
        path: path.into(),
        reason: reason.into(),
    }
}
