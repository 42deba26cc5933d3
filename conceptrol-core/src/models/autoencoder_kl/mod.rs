//! The variational autoencoder between pictures and latents.

mod attention;
mod config;
mod decoder;
mod encoder;
mod model;
mod names;
mod posterior;
mod resnet;
mod tiling;

pub use config::AutoencoderKlConfig;
pub use model::{AutoencoderError, AutoencoderKl};
pub use names::{original_names, own_names};
pub use posterior::Posterior;
pub use tiling::Tiling;
