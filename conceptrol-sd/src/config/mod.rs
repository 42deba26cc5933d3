//! `config.json` of a U-Net: read with diffusers' defaults, checked, and resolved to one entry per block.

mod block;
mod error;
mod fields;
mod levels;
mod unet;

pub use block::{BlockConfig, MidConfig, TransformerConfig};
pub use error::ConfigError;
pub use unet::{AddedConfig, TimeConfig, UNetConfig};
