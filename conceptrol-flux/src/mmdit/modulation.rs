//! Adaptive layer normalisation: scale, shift and gate computed from the modulation vector.

use burn::module::Module;
use burn::tensor::Tensor;
use conceptrol_core::models::weights::Weights;
use conceptrol_core::{Session, kernel};

use super::linear::{Stream, StreamLinear};

/// Epsilon of every layer normalisation of the model.
const NORM_EPS: f64 = 1e-6;

/// `N` vectors per row computed from the modulation vector: SiLU, then one linear layer.
#[derive(Module, Debug)]
pub(crate) struct Modulation<const N: usize> {
    linear: StreamLinear,
}

impl<const N: usize> Modulation<N> {
    /// `weights` is the scope of the norm; the layer is its `linear`.
    pub(crate) fn new(weights: &Weights, dim: usize) -> Self {
        Self {
            linear: StreamLinear::new(&weights.at("linear"), dim, N * dim),
        }
    }

    /// # Shapes
    /// `vector` `[batch, dim]` -> `N` of `[batch, 1, dim]`
    pub(crate) fn forward(
        &self,
        vector: Tensor<2>,
        stream: Stream,
        session: &mut Session,
    ) -> [Tensor<3>; N] {
        let [batch, dim] = vector.dims();
        let all = self
            .linear
            .forward(kernel::silu(vector), stream.whole(), session)
            .reshape([batch, N, dim]);
        std::array::from_fn(|index| all.clone().narrow(1, index, 1))
    }

    pub(crate) fn linear(&mut self) -> &mut StreamLinear {
        &mut self.linear
    }
}

/// `norm(x) * (1 + scale) + shift`.
///
/// # Shapes
/// `x` `[batch, tokens, dim]`; `shift`, `scale` `[batch, 1, dim]`
pub(crate) fn modulate(x: Tensor<3>, shift: &Tensor<3>, scale: &Tensor<3>) -> Tensor<3> {
    let scale = scale.clone().add_scalar(1.0);
    // One image at a time, its vectors are the parameters of a plain layer norm: one pass over the tokens.
    let image = |image: usize| {
        let vector = |vectors: &Tensor<3>| Some(vectors.clone().narrow(0, image, 1).flatten(0, 2));
        let tokens = x.clone().narrow(0, image, 1);
        kernel::layer_norm(tokens, vector(&scale), vector(shift), NORM_EPS)
    };
    match x.dims()[0] {
        1 => image(0),
        images => Tensor::cat((0..images).map(image).collect(), 0),
    }
}
