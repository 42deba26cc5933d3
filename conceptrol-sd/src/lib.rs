//! Stable Diffusion 1.5 and SDXL with IP-Adapter and Conceptrol.

pub mod adapter;
pub mod config;
pub mod family;
pub mod pipeline;
pub mod sites;
mod slot;
pub mod text;
pub mod unet;
