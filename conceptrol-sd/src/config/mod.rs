//! `config.json` of a U-Net: read with diffusers' defaults, checked, and resolved to one entry per block.

mod block;
mod levels;
mod unet;

pub use block::{BlockConfig, MidConfig, TransformerConfig};
pub use unet::{AddedConfig, TimeConfig, UNetConfig};
