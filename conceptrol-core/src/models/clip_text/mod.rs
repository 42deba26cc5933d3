//! The CLIP text encoder, with and without projection.

mod config;
mod encoder;
mod error;
mod model;
mod names;
mod states;

pub use config::ClipTextConfig;
pub(in crate::models) use config::half;
pub(in crate::models) use encoder::ClipMlp;
pub use encoder::{ClipEncoder, ClipEncoderConfig, ClipEncoderLayer};
pub use error::ClipTextError;
pub use model::ClipTextModel;
pub use names::{open_clip_names, own_names};
pub use states::ClipTextStates;
