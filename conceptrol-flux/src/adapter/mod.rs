//! IP-Adapters for FLUX: which one a file is, its image encoder, its projection to image tokens, and the weights of the
//! image branch.
//!
//! | | `XLabs` | `InstantX` |
//! |---|---|---|
//! | file | `ip_adapter.safetensors` | `ip-adapter.bin` |
//! | image encoder | CLIP ViT-L/14, projected | `SigLIP` so400m/14 at 384, pooled |
//! | acts at | double blocks | double and single blocks |
//! | its term goes in | at the end of the block | in the attention's output |
//!
//! ```no_run
//! use burn::tensor::Device;
//! use conceptrol_core::models::image;
//! use conceptrol_core::pipeline::{ConceptRequest, LoadOptions, Pipeline, Request, Silent};
//! use conceptrol_core::StepWindow;
//! use conceptrol_flux::Flux;
//!
//! let options = LoadOptions::new(Device::flex()).adapter(("ip_adapter.safetensors", "clip-vit-large-patch14"));
//! let flux = Flux::open("FLUX.1-dev", options)?;
//! let cat = ConceptRequest::new("cat", image::open("cat.png")?).another_image(image::open("cat_from_behind.png")?);
//! let request = Request::new("a cat on the beach").concept(cat).scale(0.7).window(StepWindow::after_warmup(0.2)?);
//! let generation = flux.generate(&request, &mut Silent)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod encoder;
mod error;
mod kind;
mod layout;
mod places;
mod projection;
mod sites;

pub use encoder::{ImageEncoder, ImageEncoderConfig};
pub use error::AdapterError;
pub use kind::{AdapterKind, other_kind};
pub use layout::IpAdapterLayout;
pub use projection::ImageProjection;
pub use sites::IpAdapterSites;

pub(crate) use kind::AdapterFile;
pub(crate) use places::find_encoder;
