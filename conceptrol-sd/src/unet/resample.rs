use burn::module::Module;
use burn::tensor::Tensor;
use conceptrol_core::models::nn::Conv2d;
use conceptrol_core::models::weights::Weights;
use conceptrol_core::{Session, kernel};

/// Halves height and width, rounding up, with a strided convolution.
#[derive(Module, Debug)]
pub(super) struct Downsample {
    conv: Conv2d,
}

impl Downsample {
    pub(super) fn new(channels: usize, w: &Weights) -> Self {
        Self {
            conv: Conv2d::new(&w.at("conv"), channels, channels, 3, 2, 1),
        }
    }

    /// # Shapes
    /// - x: `[batch, channels, height, width]`
    /// - output: `[batch, channels, height / 2, width / 2]`, rounded up
    pub(super) fn forward(&self, x: Tensor<4>, session: &mut Session) -> Tensor<4> {
        self.conv.adapted(x, session)
    }
}

/// Repeats every pixel, cuts to the size of the next skip connection, and convolves.
#[derive(Module, Debug)]
pub(super) struct Upsample {
    conv: Conv2d,
}

impl Upsample {
    pub(super) fn new(channels: usize, w: &Weights) -> Self {
        Self {
            conv: Conv2d::new(&w.at("conv"), channels, channels, 3, 1, 1),
        }
    }

    /// # Shapes
    /// - x: `[batch, channels, height, width]`
    /// - output: `[batch, channels, size]`, where `size` is `2 * height - (0 or 1)` and `2 * width - (0 or 1)`
    pub(super) fn forward(
        &self,
        x: Tensor<4>,
        size: [usize; 2],
        session: &mut Session,
    ) -> Tensor<4> {
        let mut x = kernel::upsample_nearest2x(x);
        // Nearest interpolation to an odd size takes the same pixels as doubling and leaving out the last.
        for (dim, length) in [(2, size[0]), (3, size[1])] {
            if x.dims()[dim] != length {
                x = x.narrow(dim, 0, length);
            }
        }
        self.conv.adapted(x, session)
    }
}
