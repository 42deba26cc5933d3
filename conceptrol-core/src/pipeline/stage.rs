//! Where a generation stands.

use std::fmt;

/// A part of a generation, as observers and errors call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// Prompts and reference pictures are encoded.
    Encoding,
    /// The denoiser is loaded, if it is not there.
    Loading,
    /// Steps are computed; this many of those that are run are finished.
    Denoising {
        /// Finished steps.
        done: usize,
        /// Steps that are run.
        total: usize,
    },
    /// Latents become pictures; this many of them are finished.
    Decoding {
        /// Finished pictures.
        done: usize,
        /// Pictures of the generation.
        total: usize,
    },
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encoding => f.write_str("while encoding prompt and pictures"),
            Self::Loading => f.write_str("while loading the denoiser"),
            Self::Denoising { done, total } => write!(f, "after step {done} of {total}"),
            Self::Decoding { done, total } => write!(f, "while decoding, {done} of {total} done"),
        }
    }
}
