use burn::tensor::{Shape, Tensor};
use burn_flex::FlexTensor;

use crate::kernel::flex::{
    gemm::{self, Matrix},
    scalar::Scalar,
    tensor::{build, contiguous, from_flex, on_flex, widened, with_scalar},
};

/// [`linear`](crate::kernel::linear).
pub(crate) fn linear<const D: usize>(
    x: &Tensor<D>,
    weight: &Tensor<2>,
    bias: Option<&Tensor<1>>,
) -> Option<Tensor<D>> {
    let [d_out, d_in] = weight.dims();
    let fits = x.dims()[D - 1] == d_in && bias.is_none_or(|bias| bias.dims() == [d_out]);
    if !fits || x.dtype() != weight.dtype() || d_in == 0 {
        return None; // the portable form says what is wrong
    }
    let bias = match bias {
        None => None,
        Some(bias) => Some(widened(&on_flex(bias)?)),
    };
    let mut shape = x.dims();
    shape[D - 1] = d_out;
    let (dtype, x, weight) = (x.dtype(), on_flex(x)?, on_flex(weight)?);
    let out = with_scalar!(
        dtype,
        run_linear(&x, &weight, bias.as_deref(), Shape::new(shape))
    );
    Some(from_flex(out))
}

fn run_linear<E: Scalar>(
    x: &FlexTensor,
    weight: &FlexTensor,
    bias: Option<&[f32]>,
    shape: Shape,
) -> FlexTensor {
    let [d_out, d_in] = weight.layout().shape().dims();
    let (mut x_copy, mut weight_copy) = (None, None);
    let x = contiguous::<E>(x, &mut x_copy);
    let weight = contiguous::<E>(weight, &mut weight_copy);
    let matrix = |data, rows| Matrix {
        data,
        rows,
        cols: d_in,
    };
    let (x, weight) = (matrix(x, x.len() / d_in), matrix(weight, d_out));
    // SAFETY: every row of the output is written.
    unsafe { build(shape, |out| gemm::linear(x, weight, bias, out)) }
}
