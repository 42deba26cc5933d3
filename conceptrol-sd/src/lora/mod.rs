//! What low-rank adapters may change of Stable Diffusion, and what tools call it.

mod processors;
mod sgm;
mod targets;

pub use sgm::SgmNames;
pub use targets::{text_target, unet_target};
