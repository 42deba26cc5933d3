use burn::module::{Module, Param};
use burn::tensor::Tensor;
use conceptrol_core::kernel::linear;
use conceptrol_core::models::weights::Weights;
use conceptrol_core::{Grid, Ground, Session};

/// The way into or out of a transformer: a matrix per token, which SD1.5 stores as a 1x1 convolution.
///
/// Both directions are a linear layer on tokens; the view that makes pixels of tokens is copied on the side of the pixels.
#[derive(Module, Debug)]
pub(super) struct Projection {
    weight: ProjectionWeight,
    bias: Param<Tensor<1>>,
    /// By which a plan finds it.
    #[module(skip)]
    name: String,
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
            name: w.path(),
        }
    }

    /// Pixels to tokens.
    ///
    /// # Shapes
    /// - pixels: `[batch, d_in, height, width]`
    /// - output: `[batch, height * width, d_out]`
    pub(super) fn tokens(&self, pixels: Tensor<4>, session: &mut Session) -> Tensor<3> {
        let [_, _, height, width] = pixels.dims();
        let tokens = pixels.flatten::<3>(2, 3).swap_dims(1, 2); // [batch, cells, d_in]
        self.adapted(tokens, Grid::new(height, width), session)
    }

    /// Tokens to pixels.
    ///
    /// # Shapes
    /// - tokens: `[batch, height * width, d_in]`
    /// - output: `[batch, d_out, height, width]`
    pub(super) fn pixels(&self, tokens: Tensor<3>, grid: Grid, session: &mut Session) -> Tensor<4> {
        let tokens = self.adapted(tokens, grid, session);
        let [batch, _, d_out] = tokens.dims();
        tokens
            .swap_dims(1, 2)
            .reshape([batch, d_out, grid.height, grid.width])
    }

    fn adapted(&self, tokens: Tensor<3>, grid: Grid, session: &mut Session) -> Tensor<3> {
        let apply = |tokens| linear(tokens, self.matrix(), Some(self.bias.val()));
        if !session.adapts(&self.name) {
            return apply(tokens);
        }
        let output = apply(tokens.clone());
        session.adapt(&self.name, Ground::Latents(grid), &tokens, output)
    }

    /// `[d_out, d_in]`
    fn matrix(&self) -> Tensor<2> {
        match &self.weight {
            ProjectionWeight::Matrix(weight) => weight.val(),
            ProjectionWeight::Convolution(weight) => weight.val().flatten::<3>(2, 3).squeeze_dim(2),
        }
    }
}
