use burn::tensor::{Shape, Tensor};
use burn_flex::FlexTensor;

use crate::kernel::{
    CompactMatrix,
    flex::{
        gemm::{self, Matrix, Weight},
        scalar::Scalar,
        tensor::{build, contiguous, from_flex, on_flex, widened, with_scalar},
    },
};

/// [`linear`](crate::kernel::linear).
pub(crate) fn linear<const D: usize>(
    x: &Tensor<D>,
    weight: &Tensor<2>,
    bias: Option<&Tensor<1>>,
) -> Option<Tensor<D>> {
    if x.dtype() != weight.dtype() {
        return None; // the portable form says what is wrong
    }
    let layer = Layer::new(x, weight.dims(), bias)?;
    let weight = on_flex(weight)?;
    Some(from_flex(with_scalar!(
        x.dtype(),
        with_tensor(layer, &weight)
    )))
}

/// [`linear_compact`](crate::kernel::linear_compact).
pub(crate) fn linear_compact<const D: usize>(
    x: &Tensor<D>,
    weight: &CompactMatrix,
    bias: Option<&Tensor<1>>,
) -> Option<Tensor<D>> {
    let layer = Layer::new(x, weight.shape(), bias)?;
    Some(from_flex(with_scalar!(
        x.dtype(),
        with_compact(layer, weight)
    )))
}

/// A layer whose shapes fit each other.
struct Layer {
    x: FlexTensor,
    d_in: usize,
    bias: Option<Vec<f32>>,
    /// Of the output.
    shape: Shape,
}

impl Layer {
    /// Nothing if they do not, of which the portable form tells.
    fn new<const D: usize>(
        x: &Tensor<D>,
        [d_out, d_in]: [usize; 2],
        bias: Option<&Tensor<1>>,
    ) -> Option<Self> {
        let fits = x.dims()[D - 1] == d_in && bias.is_none_or(|bias| bias.dims() == [d_out]);
        if !fits || d_in == 0 {
            return None;
        }
        let bias = match bias {
            None => None,
            Some(bias) => Some(widened(&on_flex(bias)?)),
        };
        let mut shape = x.dims();
        shape[D - 1] = d_out;
        Some(Self {
            x: on_flex(x)?,
            d_in,
            bias,
            shape: Shape::new(shape),
        })
    }

    fn run<E: Scalar>(self, weight: impl Weight<E>) -> FlexTensor {
        let mut copy = None;
        let data = contiguous::<E>(&self.x, &mut copy);
        let x = Matrix {
            data,
            rows: data.len() / self.d_in,
            cols: self.d_in,
        };
        let bias = self.bias.as_deref();
        // SAFETY: every row of the output is written.
        unsafe { build(self.shape, |out| gemm::linear(x, weight, bias, out)) }
    }
}

fn with_tensor<E: Scalar>(layer: Layer, weight: &FlexTensor) -> FlexTensor {
    let [rows, cols] = weight.layout().shape().dims();
    let mut copy = None;
    let data = contiguous::<E>(weight, &mut copy);
    layer.run(Matrix { data, rows, cols })
}

fn with_compact<E: Scalar>(layer: Layer, weight: &CompactMatrix) -> FlexTensor {
    layer.run::<E>(weight)
}
