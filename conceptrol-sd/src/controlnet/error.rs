use std::path::PathBuf;

use conceptrol_core::{message::shown_path, pipeline::PipelineError};

/// Why a `ControlNet` cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlNetError {
    /// It was made for another model.
    #[error(
        "{}: a ControlNet for another model: {axis} {found} instead of {expected}",
        shown_path(path)
    )]
    WrongModel {
        /// Its file or folder.
        path: PathBuf,
        /// What is compared.
        axis: String,
        /// What it has.
        found: usize,
        /// What the UNet has.
        expected: usize,
    },
    /// It controls a model in another way.
    #[error(
        "{}: this is {what}; only plain ControlNets are computed here",
        shown_path(path)
    )]
    Unsupported {
        /// Its file or folder.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// A file without a configuration that is of no published size.
    #[error("{}: no config.json beside it, and it reads {} where published models read text of width 768 or 2048", shown_path(path), text(*width))]
    NoConfiguration {
        /// The file.
        path: PathBuf,
        /// Width of the text it reads.
        width: Option<usize>,
    },
}

fn text(width: Option<usize>) -> String {
    width.map_or_else(
        || "no text".to_owned(),
        |width| format!("text of width {width}"),
    )
}

impl From<ControlNetError> for PipelineError {
    fn from(error: ControlNetError) -> Self {
        Self::family(error)
    }
}
