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
    /// `[out, in]`, as stored, of the type that is computed in; absent where it is `compact`. It is a field of its own name, not a
    /// variant of an enum, whose name would be part of the parameter's path.
    weight: Option<Param<Tensor<2>>>,
    /// In fewer bytes.
    #[module(skip)]
    compact: Option<CompactMatrix>,
    /// `[out]`
    bias: Option<Param<Tensor<1>>>,
    /// By which a plan finds it.
    #[module(skip)]
    name: String,
}

impl Linear {
    /// Takes `weight` and, if `bias`, `bias` of the scope `w`. The weight takes the memory that the scope
    /// [says](Weights::keeping).
    pub fn new(w: &Weights, d_in: usize, d_out: usize, bias: bool) -> Self {
        let shape = [d_out, d_in];
        let compact = w.compact("weight", shape);
        Self {
            weight: compact.is_none().then(|| w.tensor("weight", shape)),
            compact,
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
        match (&self.compact, &self.weight) {
            (Some(weight), _) => kernel::linear_compact(x, weight, bias),
            (None, Some(weight)) => kernel::linear(x, weight.val(), bias),
            (None, None) => unreachable!("a layer has a weight"),
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
