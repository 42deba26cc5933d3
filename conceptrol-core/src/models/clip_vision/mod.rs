//! CLIP's image tower.

mod config;
mod model;

pub use config::ClipVisionConfig;
pub use model::{ClipVisionError, ClipVisionModel};
