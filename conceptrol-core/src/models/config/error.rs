use std::{fmt, path::PathBuf};

use crate::{
    message::{shown, shown_path},
    models::file::ReadError,
};

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read, is not a regular file, or is larger than any configuration.
    #[error("cannot read {}", shown_path(path))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: ReadError,
    },
    /// The text is not a JSON object.
    #[error("{}{model}: {}", Place(file), shown(reason))]
    Json {
        /// The file, if the text is from one.
        file: Option<PathBuf>,
        /// What is configured.
        model: &'static str,
        /// What the text is, or where it breaks off.
        reason: String,
    },
    /// A field is absent, has a value of another type or out of range, or asks for what is not computed here.
    #[error(
        "{}{model} field `{field}` is {}, but must be {}",
        Place(file),
        shown(value),
        shown(expected)
    )]
    Field {
        /// The file, if the fields are from one.
        file: Option<PathBuf>,
        /// What is configured.
        model: &'static str,
        /// The field as the file spells it.
        field: &'static str,
        /// The value found.
        value: String,
        /// What would be accepted.
        expected: String,
    },
}

/// A file before what is wrong in it.
struct Place<'a>(&'a Option<PathBuf>);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(path) => write!(f, "{}: ", shown_path(path)),
            None => Ok(()),
        }
    }
}
