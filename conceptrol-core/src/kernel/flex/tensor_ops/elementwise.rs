use burn::tensor::{Shape, Tensor};
use burn_flex::FlexTensor;

use crate::kernel::flex::{
    elementwise::{self, Function},
    scalar::Scalar,
    tensor::{build, contiguous, from_flex, on_flex, with_scalar},
};

/// An element-wise function; in place if nobody else holds `x`.
pub(crate) fn map<const D: usize, F: Function>(
    x: Tensor<D>,
    function: F,
) -> Result<Tensor<D>, Tensor<D>> {
    let dtype = x.dtype();
    let Some(flex) = on_flex(&x) else {
        return Err(x);
    };
    drop(x); // else its memory would be shared
    Ok(from_flex(with_scalar!(dtype, run_map(flex, function))))
}

fn run_map<E: Scalar>(mut x: FlexTensor, function: impl Function) -> FlexTensor {
    let dense = x.layout().start_offset() == 0 && x.layout().is_dense_unique_storage();
    let len = x.layout().num_elements();
    if dense
        && x.bytes().len() == len * size_of::<E>()
        && let Some(numbers) = x.try_storage_mut::<E>()
    {
        let numbers = numbers.as_mut_ptr();
        // SAFETY: the storage is uniquely ours and holds `len` numbers.
        unsafe { elementwise::map(function, numbers, numbers, len) };
        return x;
    }
    let mut copy = None;
    let from: &[E] = contiguous(&x, &mut copy);
    let to = x.layout().shape().clone();
    // SAFETY: the map writes all `from.len()` elements of the new tensor.
    unsafe {
        build::<E>(to, |to| {
            elementwise::map(function, from.as_ptr(), to.as_mut_ptr().cast(), from.len())
        })
    }
}

/// [`geglu`](crate::kernel::geglu).
pub(crate) fn geglu(x: &Tensor<3>) -> Option<Tensor<3>> {
    Some(from_flex(with_scalar!(x.dtype(), run_geglu(&on_flex(x)?))))
}

fn run_geglu<E: Scalar>(x: &FlexTensor) -> FlexTensor {
    let [batch, tokens, width] = x.layout().shape().dims();
    let mut copy = None;
    let from = contiguous::<E>(x, &mut copy);
    // SAFETY: every row is written.
    unsafe {
        build(Shape::new([batch, tokens, width / 2]), |to| {
            elementwise::geglu(from, width / 2, to)
        })
    }
}
