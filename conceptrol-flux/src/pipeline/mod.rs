//! FLUX with OminiControl, IP-Adapters and Conceptrol, from a folder to pictures.

mod encode;
mod family;
mod ip_adapters;
mod model;
mod options;
mod plan;
mod reading;
mod references;
mod sequence;

pub use encode::{Encoded, PromptEncoders, Tokenizers};
pub use model::Flux;
pub use options::{Extra, FluxOptions};
pub use plan::concept_block;

/// A request of FLUX.
pub type Request = conceptrol_core::pipeline::Request<Extra>;
