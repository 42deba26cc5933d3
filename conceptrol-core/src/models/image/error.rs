//! Why a picture could not be read or written.

use std::io;
use std::path::PathBuf;

use crate::message::{shown, shown_path};
use crate::models::file::Content;

/// A picture could not be read, used or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// A picture file, with what is wrong with it.
    #[error("{}", shown_path(path))]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<Self>,
    },
    /// The system could not read or write.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A file that is not PNG, JPEG or WebP.
    #[error("the picture is not a png, jpeg or webp file")]
    UnknownFormat,
    /// A file that holds something else: a pointer to the picture, a web page.
    #[error("{0}, not a picture")]
    NotPicture(Content),
    /// A broken or unsupported picture.
    #[error("the picture cannot be decoded: {}", shown(.0))]
    Decode(String),
    /// A picture without pixels.
    #[error("the picture has no pixels: {width}x{height}")]
    Empty {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// A file larger than a picture of the largest allowed size.
    #[error("the picture's file has {size} bytes, more than {limit}")]
    FileTooLarge {
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// A picture larger than allowed; known before it is decoded.
    #[error(
        "the picture is too large: {width}x{height}, at most {side} a side and {pixels} pixels"
    )]
    TooLarge {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Pixels a side may have.
        side: u32,
        /// Pixels there may be.
        pixels: u64,
    },
    /// A preprocessing configuration that makes no sense.
    #[error("the image preprocessor's `{field}` is {}: {rule}", shown(value))]
    Config {
        /// The field of `preprocessor_config.json`.
        field: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        rule: &'static str,
    },
    /// A picture could not be encoded.
    #[error("the picture cannot be encoded: {}", shown(.0))]
    Encode(String),
}

impl ImageError {
    /// The same error of a file.
    pub(super) fn at(self, path: impl Into<PathBuf>) -> Self {
        Self::File {
            path: path.into(),
            source: Box::new(self),
        }
    }
}
