//! What weights do to the states of a text encoder.

use burn::tensor::{Tensor, TensorData};

/// What the weight `w` of a token does to its state `z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Weighting {
    /// Moves it away from what the empty prompt has at its place, `e`: `e + w (z - e)`, as ComfyUI does.
    #[default]
    FromEmpty,
    /// Multiplies it, and then all states of its chunk so that their mean is as before, as A1111 does.
    KeepMean,
}

impl Weighting {
    /// The states with weights.
    ///
    /// # Shapes
    ///
    /// - `states`, result: `[rows, tokens, width]`; `weights`: one each of rows and tokens
    /// - `empty`: the states of the empty prompt, `[1, tokens, width]`
    pub(crate) fn apply(
        self,
        states: Tensor<3>,
        weights: &[Vec<f32>],
        empty: Tensor<3>,
    ) -> Tensor<3> {
        let [rows, tokens, _] = states.dims();
        let data = TensorData::new(weights.concat(), [rows, tokens, 1]);
        let weights = Tensor::from_data(data, (&states.device(), states.dtype()));
        match self {
            Self::FromEmpty => (states - empty.clone()) * weights + empty,
            Self::KeepMean => {
                let mean = |x: &Tensor<3>| x.clone().mean_dim(2).mean_dim(1); // [rows, 1, 1]
                let before = mean(&states);
                let weighted = states * weights;
                let after = mean(&weighted);
                weighted * (before / after)
            }
        }
    }
}
