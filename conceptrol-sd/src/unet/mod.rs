//! The denoiser of Stable Diffusion 1.x, 2.x and XL: diffusers' `UNet2DConditionModel`.
//!
//! The files follow the forward pass: time embedding, residual block, transformer with its attention and feed-forward
//! network, down, middle and up blocks, and [`UNet2DConditionModel`] around them. The model knows two lines of the plug-in
//! half: [`Session::attend`](conceptrol_core::Session::attend) at its attentions, and `adapted` in place of `forward` at its linear
//! layers and convolutions, which asks the session what a plan adds there.

mod attention;
mod conditions;
mod down;
mod encoder;
mod error;
mod feed_forward;
mod mid;
mod model;
mod names;
mod projection;
mod resample;
mod residuals;
mod resnet;
mod time_embedding;
mod transformer;
mod up;

pub use conditions::{AddedConditions, Timestep, Timesteps};
pub(crate) use encoder::{Encoder, Input};
pub use error::UNetError;
pub use model::UNet2DConditionModel;
pub use names::{original_modules, original_names, own_names};
pub use residuals::Residuals;
