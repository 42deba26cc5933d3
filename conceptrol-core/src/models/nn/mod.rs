//! Layers in torch's layout, built from [`Weights`](super::weights::Weights) and computed by [`kernel`](crate::kernel).
//!
//! They differ from Burn's own in three ways: linear weights keep the stored `[out, in]` order (nothing is transposed
//! while loading), parameters carry the names checkpoints use, and the fused kernels of this crate do the work.

mod activation;
mod conv;
mod embedding;
mod linear;
mod norm;

pub use activation::{Activation, keep_finite};
pub use conv::Conv2d;
pub use embedding::Embedding;
pub use linear::Linear;
pub use norm::{GroupNorm, LayerNorm};
