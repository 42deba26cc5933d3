use burn::module::{Module, Param};
use burn::tensor::Tensor;
use conceptrol_core::kernel::linear;
use conceptrol_core::models::weights::Weights;

/// The way into or out of a transformer: a matrix per token, which SD1.5 stores as a 1x1 convolution.
///
/// Both directions are a linear layer on tokens; the view that makes pixels of tokens is copied on the side of the pixels.
#[derive(Module, Debug)]
pub(super) struct Projection {
    weight: ProjectionWeight,
    bias: Param<Tensor<1>>,
}

#[derive(Module, Debug)]
enum ProjectionWeight {
    /// `[d_out, d_in]`
    Matrix(Param<Tensor<2>>),
    /// `[d_out, d_in, 1, 1]`
    Convolution(Param<Tensor<4>>),
}

impl Projection {
    pub(super) fn new(linear: bool, d_in: usize, d_out: usize, w: &Weights) -> Self {
        let weight = if linear {
            ProjectionWeight::Matrix(w.tensor("weight", [d_out, d_in]))
        } else {
            ProjectionWeight::Convolution(w.tensor("weight", [d_out, d_in, 1, 1]))
        };
        Self {
            weight,
            bias: w.tensor("bias", [d_out]),
        }
    }

    /// Pixels to tokens.
    ///
    /// # Shapes
    /// - pixels: `[batch, d_in, height, width]`
    /// - output: `[batch, height * width, d_out]`
    pub(super) fn tokens(&self, pixels: Tensor<4>) -> Tensor<3> {
        let tokens = pixels.flatten::<3>(2, 3).swap_dims(1, 2); // [batch, cells, d_in]
        linear(tokens, self.matrix(), Some(self.bias.val()))
    }

    /// Tokens to pixels.
    ///
    /// # Shapes
    /// - tokens: `[batch, height * width, d_in]`
    /// - output: `[batch, d_out, height, width]`
    pub(super) fn pixels(&self, tokens: Tensor<3>, [height, width]: [usize; 2]) -> Tensor<4> {
        let tokens = linear(tokens, self.matrix(), Some(self.bias.val()));
        let [batch, _, d_out] = tokens.dims();
        tokens
            .swap_dims(1, 2)
            .reshape([batch, d_out, height, width])
    }

    /// `[d_out, d_in]`
    fn matrix(&self) -> Tensor<2> {
        match &self.weight {
            ProjectionWeight::Matrix(weight) => weight.val(),
            ProjectionWeight::Convolution(weight) => weight.val().flatten::<3>(2, 3).squeeze_dim(2),
        }
    }
}
