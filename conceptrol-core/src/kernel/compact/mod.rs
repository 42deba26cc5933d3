//! Weights that take fewer bytes than the numbers that are computed with: 8 and 16-bit floats, and blocks of small integers.

mod blocks;
mod error;
pub(super) mod floats;
mod format;
mod matrix;

pub use blocks::BlockFormat;
pub use error::CompactError;
pub use format::CompactFormat;
pub use matrix::CompactMatrix;
