use burn::tensor::{Shape, Tensor};
use burn_flex::FlexTensor;

use crate::kernel::flex::{
    conv::{self, ConvShape},
    scalar::Scalar,
    tensor::{build, contiguous, from_flex, on_flex, widened, with_scalar},
};

/// [`conv2d`](crate::kernel::conv2d).
pub(crate) fn conv2d(
    x: &Tensor<4>,
    weight: &Tensor<4>,
    bias: Option<&Tensor<1>>,
    stride: usize,
    padding: [(usize, usize); 2],
) -> Option<Tensor<4>> {
    let [batch, c_in, height, width] = x.dims();
    let [c_out, weight_in, kernel_height, kernel_width] = weight.dims();
    let (input, kernel) = ([height, width], [kernel_height, kernel_width]);
    let padded = [0, 1].map(|axis| input[axis] + padding[axis].0 + padding[axis].1);
    let fits = c_in == weight_in
        && stride > 0
        && (0..2).all(|axis| 0 < kernel[axis] && kernel[axis] <= padded[axis])
        && bias.is_none_or(|bias| bias.dims() == [c_out]);
    if !fits || x.dtype() != weight.dtype() || c_in == 0 {
        return None; // the portable form says what is wrong
    }
    let output = [0, 1].map(|axis| (padded[axis] - kernel[axis]) / stride + 1);
    let before = padding.map(|(before, _)| before);
    let shape = ConvShape {
        batch,
        c_in,
        c_out,
        input,
        kernel,
        output,
        stride,
        before,
    };
    let bias = match bias {
        None => None,
        Some(bias) => Some(widened(&on_flex(bias)?)),
    };
    let (dtype, x, weight) = (x.dtype(), on_flex(x)?, on_flex(weight)?);
    let out = with_scalar!(dtype, run_conv2d(shape, &x, &weight, bias.as_deref()));
    Some(from_flex(out))
}

fn run_conv2d<E: Scalar>(
    shape: ConvShape,
    x: &FlexTensor,
    weight: &FlexTensor,
    bias: Option<&[f32]>,
) -> FlexTensor {
    let (mut x_copy, mut weight_copy) = (None, None);
    let x = contiguous::<E>(x, &mut x_copy);
    let weight = contiguous::<E>(weight, &mut weight_copy);
    let [height, width] = shape.output;
    // SAFETY: every pixel of every channel is written.
    unsafe {
        build(
            Shape::new([shape.batch, shape.c_out, height, width]),
            |out| {
                conv::conv2d(shape, x, weight, bias, out);
            },
        )
    }
}
