//! The CLIP text encoder, with and without projection.

mod config;
mod encoder;
mod model;
mod states;

pub use config::ClipTextConfig;
pub use encoder::{ClipEncoder, ClipEncoderConfig, ClipEncoderLayer};
pub use model::{ClipTextError, ClipTextModel};
pub use states::ClipTextStates;
