use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use crate::kernel::flex::{
    rotary::rotate,
    scalar::Scalar,
    tensor::{build, contiguous, from_flex, on_flex, widened, with_scalar},
};

/// [`rotary`](crate::kernel::rotary).
pub(crate) fn rotary(x: &Tensor<4>, cos: &Tensor<4>, sin: &Tensor<4>) -> Option<Tensor<4>> {
    let (cos, sin) = (widened(&on_flex(cos)?), widened(&on_flex(sin)?));
    let out = with_scalar!(x.dtype(), run_rotary(&on_flex(x)?, &cos, &sin));
    Some(from_flex(out))
}

fn run_rotary<E: Scalar>(x: &FlexTensor, cos: &[f32], sin: &[f32]) -> FlexTensor {
    let dims = x.layout().shape().dims();
    let mut copy = None;
    let from = contiguous::<E>(x, &mut copy);
    // SAFETY: every token is written.
    unsafe {
        build(x.layout().shape().clone(), |to| {
            rotate(from, cos, sin, dims, to)
        })
    }
}
