//! `ControlNet` (arXiv 2302.05543): a copy of the UNet's down half that reads a picture, and adds to the UNet's skip connections.
//!
//! Its attention is plain, in a session of its own: adapters, masks and low-rank adapters act on the UNet.

mod embedding;
mod error;
mod files;
mod model;
mod names;

pub use embedding::PictureEmbedding;
pub use error::ControlNetError;
pub use files::ControlNetFiles;
pub use model::ControlNetModel;
pub use names::{original_names, own_names};
