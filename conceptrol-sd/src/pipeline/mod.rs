//! Stable Diffusion with IP-Adapter and Conceptrol, from a diffusers folder to pictures.

mod configurations;
mod control;
mod edit;
mod encode;
mod extra;
mod family;
mod input;
mod model;
mod picture;
mod references;
mod saved;

pub use control::{Control, ControlRequest};
pub use edit::EditRequest;
pub use encode::Encoded;
pub use extra::{Extra, MicroConditioning};
pub use family::Denoiser;
pub use model::StableDiffusion;
pub use saved::SavedModel;

pub use crate::prompt::{Reading, Weighting};

/// A request of Stable Diffusion.
pub type Request = conceptrol_core::pipeline::Request<Extra>;
