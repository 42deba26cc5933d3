//! Stable Diffusion 1.5 and SDXL with IP-Adapter and Conceptrol.

#![forbid(unsafe_code)]

pub mod adapter;
pub mod config;
pub mod family;
pub mod pipeline;
pub mod scheduler;
pub mod sites;
mod slot;
pub mod text;
pub mod unet;
