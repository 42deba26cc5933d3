use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use crate::kernel::flex::{
    residual,
    scalar::Scalar,
    tensor::{build, contiguous, from_flex, on_flex, widened, with_scalar},
};

/// [`add_gated`](crate::kernel::add_gated).
pub(crate) fn add_gated(x: &Tensor<3>, branch: &Tensor<3>, gate: &Tensor<3>) -> Option<Tensor<3>> {
    let [batch, _, width] = x.dims();
    let fits = branch.dims() == x.dims() && gate.dims() == [batch, 1, width];
    if !fits || branch.dtype() != x.dtype() {
        return None; // the portable form broadcasts, or says what is wrong
    }
    let (dtype, gate) = (x.dtype(), widened(&on_flex(gate)?));
    let (x, branch) = (on_flex(x)?, on_flex(branch)?);
    let out = with_scalar!(dtype, run_add_gated(&x, &branch, &gate));
    Some(from_flex(out))
}

fn run_add_gated<E: Scalar>(x: &FlexTensor, branch: &FlexTensor, gate: &[f32]) -> FlexTensor {
    let dims = x.layout().shape().dims();
    let (mut x_copy, mut branch_copy) = (None, None);
    let numbers = contiguous::<E>(x, &mut x_copy);
    let branch = contiguous::<E>(branch, &mut branch_copy);
    // SAFETY: every token is written.
    unsafe {
        build(x.layout().shape().clone(), |to| {
            residual::add_gated(numbers, branch, gate, dims, to)
        })
    }
}
