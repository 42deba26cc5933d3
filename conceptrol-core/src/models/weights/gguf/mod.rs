//! The GGUF container, versions 2 and 3: key-value pairs, a directory of tensors, their data.
//!
//! Described in `docs/gguf.md` of ggml. Every length is compared with what is left of the file before anything is reserved.

mod directory;
mod fields;
mod metadata;

pub(super) use directory::entries;
