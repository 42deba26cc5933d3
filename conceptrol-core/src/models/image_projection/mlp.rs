use burn::{module::Module, tensor::Tensor};

use super::NORM_EPS;
use crate::models::nn::{Activation, LayerNorm, Linear};
use crate::models::weights::Weights;

/// Two linear maps with a GELU between them to all tokens at once, then a norm of each (`MLPProjModel`).
#[derive(Module, Debug)]
pub struct MlpProjModel {
    first: Linear,
    second: Linear,
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
        Self {
            first: Linear::new(&proj.at(0), embedding_dim, hidden_dim, true),
            second: Linear::new(&proj.at(2), hidden_dim, all, true),
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
        let [pictures, _] = embeds.dims();
        let hidden = Activation::Gelu.forward(self.first.forward(embeds));
        let tokens = self.second.forward(hidden);
        let tokens = tokens.reshape([pictures, self.tokens, self.output_dim]);
        self.norm.forward(tokens)
    }
}
