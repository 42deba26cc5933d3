use burn::{
    module::{Module, Param},
    tensor::Tensor,
};

use crate::kernel;
use crate::models::weights::Weights;
use crate::seam::{ConvolutionShape, Session};

/// A two-dimensional convolution with a square kernel.
#[derive(Module, Debug)]
pub struct Conv2d {
    /// `[out, in, kernel, kernel]`
    weight: Param<Tensor<4>>,
    /// `[out]`
    bias: Param<Tensor<1>>,
    stride: usize,
    /// Zeros added (above, below) and (left, right).
    #[module(skip)]
    padding: [(usize, usize); 2],
    /// By which a plan finds it.
    #[module(skip)]
    name: String,
}

impl Conv2d {
    /// Takes `weight` and `bias` of the scope `w`; `padding` zeros are added on all four sides.
    pub fn new(
        w: &Weights,
        c_in: usize,
        c_out: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
    ) -> Self {
        Self::new_asymmetric(w, [c_in, c_out], kernel, stride, [(padding, padding); 2])
    }

    /// The same with zeros (above, below) and (left, right) given apart, as the autoencoder's downsampling needs.
    pub fn new_asymmetric(
        w: &Weights,
        [c_in, c_out]: [usize; 2],
        kernel: usize,
        stride: usize,
        padding: [(usize, usize); 2],
    ) -> Self {
        Self {
            weight: w.tensor("weight", [c_out, c_in, kernel, kernel]),
            bias: w.tensor("bias", [c_out]),
            stride,
            padding,
            name: w.path(),
        }
    }

    /// Applies the convolution.
    ///
    /// # Shapes
    ///
    /// - `x`: `[batch, in, height, width]`
    /// - output: `[batch, out, (height + above + below - kernel) / stride + 1, likewise width]`
    ///
    /// # Panics
    ///
    /// If the channels of `x` are not `in`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let bias = Some(self.bias.val());
        kernel::conv2d(x, self.weight.val(), bias, self.stride, self.padding)
    }

    /// Applies the convolution, and adds what the session's plan adds here. Shapes and panics as
    /// [`forward`](Self::forward).
    pub fn adapted(&self, x: Tensor<4>, session: &mut Session) -> Tensor<4> {
        if !session.adapts(&self.name) {
            return self.forward(x);
        }
        let shape = ConvolutionShape {
            kernel: self.weight.dims()[2],
            stride: self.stride,
            padding: self.padding,
        };
        let y = self.forward(x.clone());
        session.adapt_convolution(&self.name, shape, &x, y)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, FloatDType};

    use super::*;

    #[test]
    fn zeros_on_two_sides_only_shift_the_window() {
        let device = Device::flex();
        let w = Weights::random(1, &device, FloatDType::F32);
        let x = Tensor::ones([1, 2, 6, 8], &device);
        let down = Conv2d::new_asymmetric(&w, [2, 3], 3, 2, [(0, 1), (0, 1)]);
        let out = down.forward(x.clone());
        assert_eq!(out.dims(), [1, 3, 3, 4]);
        // The first window lies inside the picture, so it equals the one of the unpadded convolution.
        let plain = Conv2d::new(&w, 2, 3, 3, 2, 0).forward(x);
        let first = |x: Tensor<4>| x.slice([0..1, 0..3, 0..1, 0..1]).into_data();
        first(out).assert_eq(&first(plain), true);
    }
}
