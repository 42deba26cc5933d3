//! `SigLIP`'s image tower (arXiv 2303.15343), with its pooling head.

mod config;
mod error;
mod head;
mod model;

pub use config::SiglipVisionConfig;
pub use error::SiglipVisionError;
pub use model::SiglipVisionModel;
