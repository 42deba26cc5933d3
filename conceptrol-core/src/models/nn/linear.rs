use burn::{
    module::{Module, Param},
    tensor::Tensor,
};

use crate::kernel::{self, CompactMatrix};
use crate::models::weights::Weights;
use crate::seam::{Ground, Session};

/// An affine map of the last axis, `y = x W^T + b`.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[out, in]`, as stored.
    weight: Weight,
    /// `[out]`
    bias: Option<Param<Tensor<1>>>,
    /// By which a plan finds it.
    #[module(skip)]
    name: String,
}

/// What a layer multiplies with.
#[derive(Module, Debug)]
enum Weight {
    /// Of the type that is computed in.
    Computed(Param<Tensor<2>>),
    /// In fewer bytes.
    Compact(Compact),
}

#[derive(Module, Debug)]
struct Compact {
    #[module(skip)]
    matrix: CompactMatrix,
}

impl Weight {
    fn new(w: &Weights, shape: [usize; 2]) -> Self {
        match w.compact("weight", shape) {
            Some(matrix) => Self::Compact(Compact { matrix }),
            None => Self::Computed(w.tensor("weight", shape)),
        }
    }
}

impl Linear {
    /// Takes `weight` and, if `bias`, `bias` of the scope `w`. The weight takes the memory that the scope
    /// [says](Weights::keeping).
    pub fn new(w: &Weights, d_in: usize, d_out: usize, bias: bool) -> Self {
        Self {
            weight: Weight::new(w, [d_out, d_in]),
            bias: bias.then(|| w.tensor("bias", [d_out])),
            name: w.path(),
        }
    }

    /// Its full name in the checkpoint.
    pub fn name(&self) -> &str {
        &self.name
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
        let bias = self.bias.as_ref().map(Param::val);
        match &self.weight {
            Weight::Computed(weight) => kernel::linear(x, weight.val(), bias),
            Weight::Compact(weight) => kernel::linear_compact(x, &weight.matrix, bias),
        }
    }

    /// Applies the map, and adds what the session's plan adds here.
    ///
    /// # Shapes
    ///
    /// - `x`: `[rows, tokens, in]`, or `[rows, in]` of [`Ground::Whole`]
    /// - output: `[.., out]`
    ///
    /// # Panics
    ///
    /// As [`forward`](Self::forward).
    pub fn adapted<const D: usize>(
        &self,
        x: Tensor<D>,
        ground: Ground,
        session: &mut Session,
    ) -> Tensor<D> {
        if !session.adapts(&self.name) {
            return self.forward(x);
        }
        let y = self.forward(x.clone());
        let dims = y.dims();
        let tokens = |x: Tensor<D>| {
            let width = x.dims()[D - 1];
            let tokens = dims[1..D - 1].iter().product();
            x.reshape([dims[0], tokens, width])
        };
        let adapted = session.adapt(&self.name, ground, &tokens(x), tokens(y));
        adapted.reshape(dims)
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
