use burn::tensor::{DType, Tensor};
use serde::Deserialize;

use crate::kernel;

/// An element-wise non-linearity, by the names of `config.json`. Hold it as `#[module(skip)]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub enum Activation {
    /// `x sigmoid(x)`
    #[serde(rename = "silu", alias = "swish")]
    Silu,
    /// `x Phi(x)` with the exact normal distribution function.
    #[serde(rename = "gelu")]
    Gelu,
    /// `x Phi(x)` by the tanh approximation (Hendrycks and Gimpel 2016).
    #[serde(rename = "gelu_new", alias = "gelu_pytorch_tanh")]
    GeluTanh,
    /// `x sigmoid(1.702 x)`
    #[serde(rename = "quick_gelu")]
    QuickGelu,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_configurations() {
        let names = [
            ("silu", Activation::Silu),
            ("swish", Activation::Silu),
            ("gelu", Activation::Gelu),
            ("gelu_new", Activation::GeluTanh),
            ("gelu_pytorch_tanh", Activation::GeluTanh),
            ("quick_gelu", Activation::QuickGelu),
        ];
        for (name, expected) in names {
            let parsed: Activation = serde_json::from_str(&format!("{name:?}")).expect(name);
            assert_eq!(parsed, expected);
        }
        assert!(serde_json::from_str::<Activation>("\"relu\"").is_err());
    }
}
