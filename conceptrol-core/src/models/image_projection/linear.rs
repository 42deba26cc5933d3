use burn::{module::Module, tensor::Tensor};

use super::NORM_EPS;
use crate::models::nn::{LayerNorm, Linear};
use crate::models::weights::Weights;

/// One linear map to all tokens at once, then a norm of each (`ImageProjModel`).
#[derive(Module, Debug)]
pub struct ImageProjModel {
    proj: Linear,
    norm: LayerNorm,
    #[module(skip)]
    tokens: usize,
    #[module(skip)]
    output_dim: usize,
}

impl ImageProjModel {
    /// Takes `proj` and `norm` of the scope `w`.
    pub fn new(embedding_dim: usize, tokens: usize, output_dim: usize, w: &Weights) -> Self {
        Self {
            proj: Linear::new(&w.at("proj"), embedding_dim, tokens * output_dim, true),
            norm: LayerNorm::new(&w.at("norm"), output_dim, NORM_EPS),
            tokens,
            output_dim,
        }
    }

    /// The image tokens of pictures.
    ///
    /// # Shapes
    /// - `embeds`: `[pictures, embedding_dim]`
    /// - output: `[pictures, tokens, output_dim]`
    pub fn forward(&self, embeds: Tensor<2>) -> Tensor<3> {
        let [pictures, _] = embeds.dims();
        let tokens = self.proj.forward(embeds);
        let tokens = tokens.reshape([pictures, self.tokens, self.output_dim]);
        self.norm.forward(tokens)
    }
}
