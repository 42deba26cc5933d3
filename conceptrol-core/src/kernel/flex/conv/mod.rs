//! Convolution on `[batch, channels, height, width]` as it is: no other layout, no image-to-column matrix, no reordered
//! weights. The output of a convolution is a product of the weight, as stored, with shifted rows of the image.

mod direct;
mod planes;
mod shape;
mod winograd;

use std::mem::MaybeUninit;

pub(crate) use shape::ConvShape;

use super::{
    gemm::bf16_dot::{self, as_bf16x2},
    scalar::Scalar,
};

/// `weight * x + bias` into `out`, a contiguous `[batch, c_out, height, width]`.
pub(crate) fn conv2d<E: Scalar>(
    shape: ConvShape,
    x: &[E],
    weight: &[E],
    bias: Option<&[f32]>,
    out: &mut [MaybeUninit<E>],
) {
    let minimal = shape.suits_winograd();
    if (!minimal || bf16_dot::is_cheap())
        && let Some(weight) = as_bf16x2(weight, shape.depth())
        && let (Some(x), Some(out)) = (E::as_bf16(x), E::as_bf16_mut(out))
    {
        direct::direct(shape, x, weight, bias, out);
    } else if minimal {
        winograd::winograd(shape, x, weight, bias, out);
    } else {
        direct::direct(shape, x, weight, bias, out);
    }
}
