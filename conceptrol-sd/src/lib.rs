//! Stable Diffusion 1.5 and SDXL with IP-Adapter and Conceptrol.

pub mod adapter;
pub mod config;
pub mod sites;
pub mod unet;
