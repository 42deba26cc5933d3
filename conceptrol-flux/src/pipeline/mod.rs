//! FLUX with OminiControl, IP-Adapters and Conceptrol, from a folder to pictures.

mod conditions;
mod encode;
mod family;
mod ip_adapters;
mod kind;
mod model;
mod options;
mod plan;
mod readers;
mod redux;
mod references;
mod sequence;
mod text;

pub use encode::{Encoded, PromptEncoders, Tokenizers};
pub use kind::Kind;
pub use model::Flux;
pub use options::{Extra, FluxOptions};
pub use plan::concept_block;
pub use redux::{ReduxOptions, ReduxPictures, ReduxText};

/// A request of FLUX.
pub type Request = conceptrol_core::pipeline::Request<Extra>;
