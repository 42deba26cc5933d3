//! Reading a checkpoint's `config.json`.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::file::{Content, ReadError, read_text};
use crate::message::{shown, shown_path};

/// Largest configuration file that is read, in bytes. Published ones have a few kilobytes.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// Why a model configuration was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be opened or read.
    #[error("{}: {source}", shown_path(path))]
    Read {
        /// The configuration file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is larger than any configuration is.
    #[error(
        "{}: larger than {limit} bytes, this is no model configuration",
        shown_path(path)
    )]
    TooLarge {
        /// The configuration file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// The file holds something else: a pointer to it, a web page.
    #[error("{}: {found}, not a configuration", shown_path(path))]
    NotConfig {
        /// The configuration file.
        path: PathBuf,
        /// What is in it.
        found: Content,
    },
    /// The file is not JSON, a needed field is missing, or a field has another type.
    #[error("{}: {}", shown_path(path), shown(&source.to_string()))]
    Parse {
        /// The configuration file.
        path: PathBuf,
        /// Where and what.
        source: serde_json::Error,
    },
    /// A field has a value no model can be built from, or one that is not supported.
    #[error("{model} configuration: {field} is {}, {expected}", shown(value))]
    Field {
        /// The kind of model.
        model: &'static str,
        /// The field as the file spells it.
        field: &'static str,
        /// The value found.
        value: String,
        /// What would be accepted.
        expected: String,
    },
}

impl ConfigError {
    /// A refused field: `"clip text", "hidden_size", 0, "expected 1..=65536"`.
    pub fn field(
        model: &'static str,
        field: &'static str,
        value: impl std::fmt::Debug,
        expected: impl Into<String>,
    ) -> Self {
        Self::Field {
            model,
            field,
            value: format!("{value:?}"),
            expected: expected.into(),
        }
    }

    /// Checks that `value` lies in `1..=max`: sizes in a file somebody else wrote.
    ///
    /// # Errors
    /// [`ConfigError::Field`] if it does not.
    pub fn check_size(
        model: &'static str,
        field: &'static str,
        value: usize,
        max: usize,
    ) -> Result<(), Self> {
        if (1..=max).contains(&value) {
            Ok(())
        } else {
            Err(Self::field(
                model,
                field,
                value,
                format!("expected 1..={max}"),
            ))
        }
    }
}

/// Reads a `config.json`. Unknown fields are the business of `T`; values are checked by whoever builds the model.
///
/// # Errors
/// If the file cannot be read, has more than a mebibyte, or is not the JSON `T` needs.
pub fn read_config<T: DeserializeOwned>(path: impl AsRef<Path>) -> Result<T, ConfigError> {
    let path = path.as_ref();
    let text = read_text(path, MAX_CONFIG_BYTES).map_err(|error| match error {
        ReadError::Io(source) => ConfigError::Read {
            path: path.to_owned(),
            source,
        },
        ReadError::TooLarge { limit, .. } => ConfigError::TooLarge {
            path: path.to_owned(),
            limit,
        },
    })?;
    serde_json::from_str(&text).map_err(|source| match Content::of(text.as_bytes()) {
        Some(found) if found != Content::Json => ConfigError::NotConfig {
            path: path.to_owned(),
            found,
        },
        _ => ConfigError::Parse {
            path: path.to_owned(),
            source,
        },
    })
}
