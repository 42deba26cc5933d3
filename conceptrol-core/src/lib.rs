//! Attention processors, concept masks and the model parts shared by the Conceptrol crates.

#[cfg(feature = "models")]
pub mod models;
