//! What low-rank adapters may change of Stable Diffusion, and what tools call it.

mod processors;
mod targets;

pub use targets::{original_name, text_target, unet_target};
