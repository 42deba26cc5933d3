//! `config.json` of a U-Net or `ControlNet`: read with diffusers' defaults, checked, and resolved to one entry per block.

mod block;
mod controlnet;
mod levels;
mod unet;

pub use block::{BlockConfig, MidConfig, TransformerConfig};
pub use controlnet::ControlNetConfig;
pub use unet::{AddedConfig, TimeConfig, UNetConfig};
