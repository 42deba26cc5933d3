use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use crate::kernel::flex::{
    element::Number,
    rows,
    tensor::{build, contiguous, from_flex, on_flex, widened, with_number},
};

/// [`rotary`](crate::kernel::rotary).
pub(crate) fn rotary(x: &Tensor<4>, cos: &Tensor<4>, sin: &Tensor<4>) -> Option<Tensor<4>> {
    let (cos, sin) = (widened(&on_flex(cos)?), widened(&on_flex(sin)?));
    let out = with_number!(x.dtype(), run_rotary(&on_flex(x)?, &cos, &sin));
    Some(from_flex(out))
}

fn run_rotary<E: Number>(x: &FlexTensor, cos: &[f32], sin: &[f32]) -> FlexTensor {
    let dims = x.layout().shape().dims();
    let mut copy = None;
    let from = contiguous::<E>(x, &mut copy);
    // SAFETY: every token is written.
    unsafe {
        build(x.layout().shape().clone(), |to| {
            rows::rotary(from, cos, sin, dims, to)
        })
    }
}

/// [`add_gated`](crate::kernel::add_gated).
pub(crate) fn add_gated(x: &Tensor<3>, branch: &Tensor<3>, gate: &Tensor<3>) -> Option<Tensor<3>> {
    let [batch, _, width] = x.dims();
    let fits = branch.dims() == x.dims() && gate.dims() == [batch, 1, width];
    if !fits || branch.dtype() != x.dtype() {
        return None; // the portable form broadcasts, or says what is wrong
    }
    let (dtype, gate) = (x.dtype(), widened(&on_flex(gate)?));
    let (x, branch) = (on_flex(x)?, on_flex(branch)?);
    let out = with_number!(dtype, run_add_gated(&x, &branch, &gate));
    Some(from_flex(out))
}

fn run_add_gated<E: Number>(x: &FlexTensor, branch: &FlexTensor, gate: &[f32]) -> FlexTensor {
    let dims = x.layout().shape().dims();
    let (mut x_copy, mut branch_copy) = (None, None);
    let numbers = contiguous::<E>(x, &mut x_copy);
    let branch = contiguous::<E>(branch, &mut branch_copy);
    // SAFETY: every token is written.
    unsafe {
        build(x.layout().shape().clone(), |to| {
            rows::add_gated(numbers, branch, gate, dims, to)
        })
    }
}
