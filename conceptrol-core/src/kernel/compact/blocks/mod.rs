//! Weights quantised in blocks, as GGUF files hold them: a few bytes of scales and the small integers they apply to.

mod format;
mod plain;
mod round;
mod superblock;

pub use format::BlockFormat;
