//! The multimodal diffusion transformer (MMDiT) of FLUX.

mod adapters;
mod attend;
mod blocks;
mod double_block;
mod embedding;
mod heads;
mod linear;
mod modulation;
mod reading;
mod rotary;
mod single_block;
mod transformer;

pub use adapters::Adapters;
pub use attend::BlockContext;
pub use double_block::{DoubleBlock, Streams};
pub use reading::Reading;
pub use rotary::Rotary;
pub use transformer::{FluxInput, FluxTransformer};
