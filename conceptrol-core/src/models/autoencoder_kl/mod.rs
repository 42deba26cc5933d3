//! The variational autoencoder between pictures and latents.

mod attention;
mod config;
mod decoder;
mod encoder;
mod model;
mod posterior;
mod resnet;
mod tiling;

pub use config::AutoencoderKlConfig;
pub use model::{AutoencoderError, AutoencoderKl};
pub use posterior::Posterior;
pub use tiling::Tiling;
