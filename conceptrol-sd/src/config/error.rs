use std::path::PathBuf;

/// Why a `config.json` cannot describe a model of this crate.
///
/// A configuration is untrusted input: every count and width is bounded before anything is built from it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file that was asked for.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is larger than any configuration.
    #[error("{} holds more than {limit} bytes, too many for a configuration", path.display())]
    TooLarge {
        /// The file that was asked for.
        path: PathBuf,
        /// Most bytes that are read.
        limit: u64,
    },
    /// The text is not a JSON object.
    #[error("the configuration is not a JSON object: {message}")]
    Json {
        /// What the parser said, with line and column where it knows them.
        message: String,
    },
    /// A field without a default is absent or `null`.
    #[error("the configuration has no field `{field}`")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A field holds a value of another JSON type.
    #[error("field `{field}` must be {expected}, found {found}")]
    WrongType {
        /// The field.
        field: &'static str,
        /// What it may hold.
        expected: &'static str,
        /// What it holds, shortened.
        found: String,
    },
    /// A number lies outside the accepted range.
    #[error("field `{field}` is {value}, outside {min}..={max}")]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// What it holds.
        value: String,
        /// Smallest accepted value.
        min: usize,
        /// Largest accepted value.
        max: usize,
    },
    /// A list has another length than the number of levels or layers it describes.
    #[error("field `{field}` lists {found} entries for {expected} {of}")]
    WrongLength {
        /// The field.
        field: &'static str,
        /// Entries found.
        found: usize,
        /// Entries needed.
        expected: usize,
        /// What is counted: levels or layers.
        of: &'static str,
    },
    /// The model uses a feature that this crate does not compute.
    #[error("field `{field}` is {value}, which is not supported (supported: {supported})")]
    Unsupported {
        /// The field.
        field: &'static str,
        /// What it holds, shortened.
        value: String,
        /// What it may hold.
        supported: &'static str,
    },
    /// Two fields contradict each other.
    #[error("field `{field}` is inconsistent: {message}")]
    Inconsistent {
        /// The field.
        field: &'static str,
        /// The contradiction, with both numbers.
        message: String,
    },
}

impl From<ConfigError> for conceptrol_core::pipeline::PipelineError {
    fn from(error: ConfigError) -> Self {
        Self::family(error)
    }
}
