use burn::tensor::{DType, Tensor};

use crate::{kernel, models::config::Choice};

/// An element-wise non-linearity, by the names of `config.json`. Hold it as `#[module(skip)]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activation {
    /// `x sigmoid(x)`
    Silu,
    /// `x Phi(x)` with the exact normal distribution function.
    Gelu,
    /// `x Phi(x)` by the tanh approximation (Hendrycks and Gimpel 2016).
    GeluTanh,
    /// `x sigmoid(1.702 x)`
    QuickGelu,
}

impl Choice for Activation {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("silu", Self::Silu),
        ("swish", Self::Silu),
        ("gelu", Self::Gelu),
        ("gelu_new", Self::GeluTanh),
        ("gelu_pytorch_tanh", Self::GeluTanh),
        ("quick_gelu", Self::QuickGelu),
    ];
}

impl Activation {
    /// Applies it to every element.
    ///
    /// # Shapes
    ///
    /// - `x`, output: any
    pub fn forward<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Silu => kernel::silu(x),
            Self::Gelu => kernel::gelu(x),
            Self::GeluTanh => kernel::gelu_tanh(x),
            Self::QuickGelu => kernel::quick_gelu(x),
        }
    }
}

/// Largest finite f16.
const F16_LIMIT: f64 = 65504.0;

/// Clamps f16 streams to finite numbers, as transformers and diffusers do after the blocks of T5 and FLUX; other dtypes
/// pass unchanged.
///
/// # Shapes
///
/// Any.
pub fn keep_finite<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if x.dtype() == DType::F16 {
        x.clamp(-F16_LIMIT, F16_LIMIT)
    } else {
        x
    }
}
