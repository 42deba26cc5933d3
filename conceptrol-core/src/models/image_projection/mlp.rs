use burn::{
    module::{Module, Param},
    tensor::{FloatDType, Tensor},
};

use super::NORM_EPS;
use crate::kernel;
use crate::models::nn::{Activation, LayerNorm, Linear};
use crate::models::weights::Weights;

/// Two linear maps with a GELU between them to all tokens at once, then a norm of each (`MLPProjModel`).
///
/// The second map is kept as it is stored and cast a token at a time: `InstantX`'s for FLUX has 1.2 billion numbers, which
/// are used once a picture.
#[derive(Module, Debug)]
pub struct MlpProjModel {
    first: Linear,
    /// `[tokens * output_dim, hidden_dim]`
    second_weight: Param<Tensor<2>>,
    /// `[tokens * output_dim]`
    second_bias: Param<Tensor<1>>,
    norm: LayerNorm,
    #[module(skip)]
    tokens: usize,
    #[module(skip)]
    output_dim: usize,
}

impl MlpProjModel {
    /// Takes `proj.0`, `proj.2` and `norm` of the scope `w`.
    pub fn new(
        embedding_dim: usize,
        hidden_dim: usize,
        tokens: usize,
        output_dim: usize,
        w: &Weights,
    ) -> Self {
        let (all, proj) = (tokens * output_dim, w.at("proj"));
        let second = proj.at(2).keep_half();
        Self {
            first: Linear::new(&proj.at(0), embedding_dim, hidden_dim, true),
            second_weight: second.tensor("weight", [all, hidden_dim]),
            second_bias: second.tensor("bias", [all]),
            norm: LayerNorm::new(&w.at("norm"), output_dim, NORM_EPS),
            tokens,
            output_dim,
        }
    }

    /// The image tokens of pictures or faces.
    ///
    /// # Shapes
    /// - `embeds`: `[pictures, embedding_dim]`
    /// - output: `[pictures, tokens, output_dim]`
    pub fn forward(&self, embeds: Tensor<2>) -> Tensor<3> {
        let hidden = Activation::Gelu.forward(self.first.forward(embeds));
        let dtype = FloatDType::from(hidden.dtype());
        let (weight, bias) = (self.second_weight.val(), self.second_bias.val());
        let token = |index: usize| {
            let (first, count) = (index * self.output_dim, self.output_dim);
            let weight = weight.clone().narrow(0, first, count).cast(dtype);
            let bias = bias.clone().narrow(0, first, count).cast(dtype);
            kernel::linear(hidden.clone(), weight, Some(bias)).unsqueeze_dim(1) // [n, 1, output_dim]
        };
        let tokens = Tensor::cat((0..self.tokens).map(token).collect(), 1);
        self.norm.forward(tokens)
    }
}
