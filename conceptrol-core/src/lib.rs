//! Attention processors, concept masks and the model parts shared by the Conceptrol crates.

pub mod kernel;
#[cfg(feature = "models")]
pub mod models;
