//! Stable Diffusion 1.5 and SDXL with IP-Adapter and Conceptrol.
//!
//! [`StableDiffusion`] is the pipeline; what can be done with it is
//! [`Pipeline`](conceptrol_core::pipeline::Pipeline)'s, and the same for every family.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

pub mod adapter;
pub mod config;
pub mod controlnet;
pub mod lora;
pub mod pipeline;
mod prompt;
pub mod published;
pub mod sites;
pub mod text;
pub mod topology;
pub mod unet;

pub use pipeline::StableDiffusion;

/// The code of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
