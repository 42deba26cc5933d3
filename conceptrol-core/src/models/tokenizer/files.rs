//! Reading a tokenizer's files, which are hostile input.

use std::io;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::TokenizerError;
use crate::models::file::{self, Content, ReadError};

/// The largest real tokenizer file has 17 MB (multilingual T5).
pub(super) const VOCABULARY_LIMIT: u64 = 32 << 20;
/// Files about special tokens have a few kilobytes.
pub(super) const CONFIG_LIMIT: u64 = 1 << 20;

/// The text of a file.
pub(super) fn read(
    path: &Path,
    needed: &'static str,
    limit: u64,
) -> Result<String, TokenizerError> {
    file::read_text(path, limit).map_err(|error| match error {
        ReadError::Io(source) if source.kind() == io::ErrorKind::NotFound => {
            TokenizerError::Missing {
                path: path.into(),
                needed,
            }
        }
        ReadError::Io(source) => TokenizerError::Io {
            path: path.into(),
            source,
        },
        ReadError::TooLarge { size, limit } => TokenizerError::TooLarge {
            path: path.into(),
            size,
            limit,
        },
    })
}

/// A JSON file.
pub(super) fn read_json<T: DeserializeOwned>(
    path: &Path,
    needed: &'static str,
    limit: u64,
) -> Result<T, TokenizerError> {
    parse(path, &read(path, needed, limit)?)
}

/// A JSON file that need not be there.
pub(super) fn read_json_if_present<T: DeserializeOwned>(
    path: &Path,
) -> Result<Option<T>, TokenizerError> {
    match read_json(path, "", CONFIG_LIMIT) {
        Err(TokenizerError::Missing { .. }) => Ok(None),
        other => other.map(Some),
    }
}

/// The JSON text of a file.
pub(super) fn parse<'a, T: Deserialize<'a>>(
    path: &Path,
    text: &'a str,
) -> Result<T, TokenizerError> {
    serde_json::from_str(text).map_err(|error| match Content::of(text.as_bytes()) {
        Some(found) if found != Content::Json => malformed(path, format!("it is {found}")),
        _ => malformed(path, error.to_string()),
    })
}

pub(super) fn malformed(path: &Path, reason: impl Into<String>) -> TokenizerError {
    TokenizerError::Malformed {
        path: path.into(),
        reason: reason.into(),
    }
}
