//! FLUX with OminiControl, IP-Adapters and Conceptrol.
//!
//! - [`Flux`] is the pipeline; what can be done with it is [`Pipeline`](conceptrol_core::pipeline::Pipeline)'s, and the same
//!   for every family.
//! - [`mmdit`]: the transformer. Its blocks know one line of the plug-in half, `session.attend(site, call)`.
//! - [`latents`], [`omini`], [`kontext`]: packed latents, reference pictures as condition tokens.
//! - [`redux`]: reference pictures as tokens of the text stream.
//! - [`adapter`]: IP-Adapters of `XLabs` and `InstantX`.
//!
//! # Memory
//!
//! With [`Residency::Disk`](conceptrol_core::pipeline::Residency::Disk) the two large models stay on disk and each block is
//! read when its turn comes: FLUX.1 needs memory for one block (1.4 GB in f32) instead of 48 GB. With
//! [`Residency::WhileUsed`](conceptrol_core::pipeline::Residency::WhileUsed) the text encoders make room for the transformer.
//!
//! # Example
//!
//! ```no_run
//! use burn::tensor::Device;
//! use conceptrol_core::models::image;
//! use conceptrol_core::pipeline::{ConceptRequest, LoadOptions, Pipeline, Request, Residency, Silent};
//! use conceptrol_flux::Flux;
//!
//! let options = LoadOptions::new(Device::flex()).residency(Residency::Disk).adapter("subject_512.safetensors");
//! let flux = Flux::open("FLUX.1-schnell", options)?;
//! let request = Request::new("a statue is reading the book in the library")
//!     .concept(ConceptRequest::new("the book", image::open("book.png")?))
//!     .steps(4);
//! let generation = flux.generate(&request, &mut Silent)?;
//! image::save_png("statue.png", &generation.images[0], &[])?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

pub mod adapter;
pub mod kontext;
pub mod latents;
pub mod load;
pub mod mmdit;
pub mod omini;
pub mod pipeline;
pub mod redux;

mod config;
mod sites;

pub use config::FluxConfig;
pub use pipeline::Flux;
pub use sites::attention_sites;

/// The code of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
