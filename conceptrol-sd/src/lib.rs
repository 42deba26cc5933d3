//! Stable Diffusion 1.5 and SDXL with IP-Adapter and Conceptrol.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod adapter;
pub mod config;
pub mod family;
pub mod pipeline;
pub mod sites;
mod slot;
pub mod text;
pub mod unet;

/// The code of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
