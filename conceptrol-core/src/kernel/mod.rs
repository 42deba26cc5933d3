//! The tensor operations the models and processors are made of.
//!
//! Free functions on [`Tensor`](burn::tensor::Tensor) that run on every backend compiled in. Each has one portable form
//! made of Burn operations; the CPU backend Flex replaces most of them by blocked, vectorised kernels with the same result up
//! to rounding. Softmax and norms accumulate in `f32` whatever the dtype of their input.
//!
//! On Flex, in `f32`, bf16 and f16, a row or picture of a batch has the same bits as alone, whatever the number of threads. In `f64`
//! and under autodiff, where Burn's operations serve, as on other devices, it may differ by a rounding.

mod activation;
mod attention;
mod augment;
mod bias;
mod compact;
mod conv;
#[cfg(feature = "flex")]
#[allow(
    unsafe_code,
    reason = "intrinsics, and output that tasks write together: each block states what makes it sound"
)]
mod flex;
mod linear;
mod norm;
mod residual;
mod rotary;
mod softmax;
mod text_map;

pub use activation::{geglu, gelu, gelu_tanh, quick_gelu, silu};
pub use attention::attention;
#[cfg(feature = "models")]
pub(crate) use attention::on_flex as on_host;
pub use bias::LogitBias;
pub use compact::{BlockFormat, CompactError, CompactFormat, CompactMatrix};
pub use conv::{conv2d, upsample_nearest2x};
pub use linear::{linear, linear_compact};
pub use norm::{group_norm, layer_norm, rms_norm};
pub use residual::{add, add_gated, add_weighted};
pub use rotary::rotary;
pub use softmax::softmax;
pub use text_map::text_map;
