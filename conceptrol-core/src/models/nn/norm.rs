use burn::{
    module::{Module, Param},
    tensor::Tensor,
};

use crate::kernel;
use crate::models::weights::Weights;

/// Normalisation over groups of channels and all positions (Wu and He 2018), with a gain and shift per channel.
#[derive(Module, Debug)]
pub struct GroupNorm {
    /// `[channels]`
    weight: Param<Tensor<1>>,
    /// `[channels]`
    bias: Param<Tensor<1>>,
    groups: usize,
    eps: f64,
}

impl GroupNorm {
    /// Takes `weight` and `bias` of the scope `w`.
    pub fn new(w: &Weights, groups: usize, channels: usize, eps: f64) -> Self {
        Self {
            weight: w.tensor("weight", [channels]),
            bias: w.tensor("bias", [channels]),
            groups,
            eps,
        }
    }

    /// Normalises.
    ///
    /// # Shapes
    ///
    /// - `x`, output: `[batch, channels, height, width]`
    ///
    /// # Panics
    ///
    /// If `groups` does not divide the channels.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.apply(x, false)
    }

    /// Normalises, then applies `SiLU` in the same pass. Shapes and panics as [`forward`](Self::forward).
    pub fn forward_silu(&self, x: Tensor<4>) -> Tensor<4> {
        self.apply(x, true)
    }

    fn apply(&self, x: Tensor<4>, silu: bool) -> Tensor<4> {
        let (gamma, beta) = (self.weight.val(), self.bias.val());
        kernel::group_norm(x, self.groups, gamma, beta, self.eps, silu)
    }
}

/// Normalisation over the last axis (Ba et al. 2016), with a gain and shift per element.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// `[dim]`
    weight: Param<Tensor<1>>,
    /// `[dim]`
    bias: Param<Tensor<1>>,
    eps: f64,
}

impl LayerNorm {
    /// Takes `weight` and `bias` of the scope `w`.
    pub fn new(w: &Weights, dim: usize, eps: f64) -> Self {
        Self {
            weight: w.tensor("weight", [dim]),
            bias: w.tensor("bias", [dim]),
            eps,
        }
    }

    /// Normalises.
    ///
    /// # Shapes
    ///
    /// - `x`, output: `[batch, tokens, dim]`
    ///
    /// # Panics
    ///
    /// If the last axis of `x` is not `dim`.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let (gamma, beta) = (Some(self.weight.val()), Some(self.bias.val()));
        kernel::layer_norm(x, gamma, beta, self.eps)
    }
}
