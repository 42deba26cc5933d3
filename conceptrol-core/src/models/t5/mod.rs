//! The T5 v1.1 encoder, which reads the prompt for FLUX.

mod block;
mod config;
mod distance;
mod encoder;
mod names;

pub use config::T5Config;
pub use encoder::T5Encoder;
pub use names::own_names;
