use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use crate::kernel::flex::{
    scalar::Scalar,
    softmax::softmax_rows,
    tensor::{build, contiguous, from_flex, on_flex, with_scalar},
};

/// [`softmax`](crate::kernel::softmax).
pub(crate) fn softmax<const D: usize>(x: &Tensor<D>) -> Option<Tensor<D>> {
    let width = x.dims()[D - 1];
    if width == 0 {
        return None;
    }
    let dtype = x.dtype();
    let x = on_flex(x)?;
    Some(from_flex(with_scalar!(dtype, run_softmax(&x, width))))
}

fn run_softmax<E: Scalar>(x: &FlexTensor, width: usize) -> FlexTensor {
    let mut copy = None;
    let from = contiguous::<E>(x, &mut copy);
    // SAFETY: every row is written.
    unsafe {
        build(x.layout().shape().clone(), |to| {
            softmax_rows(from, width, to);
        })
    }
}
