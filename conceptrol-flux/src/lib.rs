//! FLUX with OminiControl and Conceptrol.
//!
//! - [`FluxPipeline`](pipeline::FluxPipeline): from a prompt and reference pictures to a picture, with the models of a
//!   [`FluxFolder`](load::FluxFolder). [`pipeline::conceptrol_plan`] and [`pipeline::ominicontrol_plan`] say what the
//!   reference pictures do; any [plan](conceptrol_core::AttentionPlan) over [`attention_sites`] can take their place.
//! - [`mmdit`]: the transformer. Its blocks know one line of the plug-in half, `session.attend(site, call)`.
//! - [`t5`], [`latents`], [`omini`]: the prompt encoder, packed latents, reference pictures as condition tokens.
//!
//! # Memory
//!
//! With [`Residency::Disk`](load::Residency::Disk) the two large models stay on disk and each block is read when its turn
//! comes: FLUX.1 needs memory for one block (1.4 GB in f32) instead of 48 GB. With
//! [`Residency::WhileUsed`](load::Residency::WhileUsed) the text encoders make room for the transformer.
//!
//! # Example
//!
//! ```no_run
//! use std::ops::ControlFlow;
//!
//! use burn::tensor::{Device, FloatDType};
//! use conceptrol_core::pipeline::Fidelity;
//! use conceptrol_core::models::image;
//! use conceptrol_flux::load::{FluxFolder, Residency};
//! use conceptrol_flux::omini::Placement;
//! use conceptrol_flux::pipeline::{ConceptRequest, FluxPipeline, FluxRequest, conceptrol_plan};
//!
//! let folder = FluxFolder::open("FLUX.1-schnell", &Device::flex(), FloatDType::F32)?;
//! let mut pipeline = FluxPipeline::load(folder, Residency::Disk)?;
//! pipeline.load_condition_adapter("subject_512.safetensors", Placement::RightOfPicture)?;
//!
//! let plan = conceptrol_plan(pipeline.config(), Fidelity::Paper)?;
//! let request = FluxRequest {
//!     concepts: vec![ConceptRequest::new("the book", image::open("book.png")?)],
//!     steps: 4,
//!     ..FluxRequest::new("a statue is reading the book in the library")
//! };
//! let generated = pipeline.generate(&request, &plan, &mut |_| ControlFlow::Continue(()))?;
//! for picture in image::tensor_to_images(generated.pictures) {
//!     image::save_png("statue.png", &picture, &[])?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod latents;
pub mod load;
pub mod mmdit;
pub mod omini;
pub mod pipeline;

mod config;
mod error;
mod sites;

pub use config::FluxConfig;
pub use error::FluxError;
pub use sites::attention_sites;

/// The code of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
