use burn::{
    module::{Module, Param},
    tensor::Tensor,
};

use crate::kernel;
use crate::models::weights::Weights;

/// An affine map of the last axis, `y = x W^T + b`.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[out, in]`, as stored.
    weight: Param<Tensor<2>>,
    /// `[out]`
    bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// Takes `weight` and, if `bias`, `bias` of the scope `w`.
    pub fn new(w: &Weights, d_in: usize, d_out: usize, bias: bool) -> Self {
        Self {
            weight: w.tensor("weight", [d_out, d_in]),
            bias: bias.then(|| w.tensor("bias", [d_out])),
        }
    }

    /// Applies the map.
    ///
    /// # Shapes
    ///
    /// - `x`: `[.., in]`
    /// - output: `[.., out]`
    ///
    /// # Panics
    ///
    /// If the last axis of `x` is not `in`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        kernel::linear(x, self.weight.val(), self.bias.as_ref().map(Param::val))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, FloatDType, Tolerance};

    use super::*;

    #[test]
    fn rows_of_the_stored_weight_are_outputs() {
        let device = Device::flex();
        let w = Weights::random(1, &device, FloatDType::F32);
        let unit = Tensor::<2>::eye(3, &device);
        let out = Linear::new(&w, 3, 2, true).forward(unit);
        let stored = w.tensor::<2>("weight", [2, 3]).val();
        out.into_data()
            .assert_approx_eq::<f32>(&stored.transpose().into_data(), Tolerance::default());
    }
}
