//! The CLIP text encoder, with and without projection.

mod config;
mod encoder;
mod error;
mod model;
mod states;

pub use config::ClipTextConfig;
pub use encoder::{ClipEncoder, ClipEncoderConfig, ClipEncoderLayer};
pub use error::ClipTextError;
pub use model::ClipTextModel;
pub use states::ClipTextStates;
