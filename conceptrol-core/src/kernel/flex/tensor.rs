//! Burn tensors as slices, and back.

use std::mem::MaybeUninit;

use burn::{
    backend::Flex,
    tensor::{Bytes, DType, Shape, Tensor, bf16, f16},
};
use burn_flex::{FlexTensor, Layout};

use crate::cancel::Cancel;

use super::{
    attention::Heads,
    scalar::Scalar,
    shared::{filled, unfilled},
};

/// The Flex tensor inside `x`, if these kernels apply to it: on Flex, without autodiff, of 16 or 32-bit floats.
pub(crate) fn on_flex<const D: usize>(x: &Tensor<D>) -> Option<FlexTensor> {
    let supported = matches!(x.dtype(), DType::F32 | DType::F16 | DType::BF16);
    if !supported || !super::super::attention::on_flex(&x.device()) {
        return None;
    }
    x.clone().try_into_primitive::<Flex>().ok()
}

/// A tensor for the rest of the world.
pub(crate) fn from_flex<const D: usize>(x: FlexTensor) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(x)
}

/// A new contiguous tensor, written by `fill`.
///
/// A generation that is cancelled meanwhile gets zeros: kernels leave the rest of their tasks out then.
///
/// # Safety
/// `fill` writes every element, unless [`Cancel::current`] is switched on before it is done.
pub(crate) unsafe fn build<E: Scalar>(
    shape: Shape,
    fill: impl FnOnce(&mut [MaybeUninit<E>]),
) -> FlexTensor {
    let cancel = Cancel::current();
    let len = shape.num_elements();
    let buffer = if cancel.is_cancelled() {
        vec![E::narrow(0.0); len]
    } else {
        let mut buffer = unfilled(len);
        fill(&mut buffer);
        if cancel.is_cancelled() {
            vec![E::narrow(0.0); len]
        } else {
            // SAFETY: the caller's promise: the switch is never turned back, so no task has seen it on.
            unsafe { filled(buffer) }
        }
    };
    FlexTensor::new(
        Bytes::from_elems(buffer),
        Layout::contiguous(shape),
        E::dtype(),
    )
}

/// The numbers of `x` in row-major order: borrowed if it is stored so, else copied into `copy`.
pub(crate) fn contiguous<'a, E: Scalar>(
    x: &'a FlexTensor,
    copy: &'a mut Option<FlexTensor>,
) -> &'a [E] {
    if let Some(numbers) = x.as_slice() {
        return numbers;
    }
    copy.insert(x.to_contiguous())
        .as_slice()
        .expect("a contiguous copy of the same dtype")
}

/// The numbers of `x` in row-major order, in `f32`: parameters and biases.
pub(crate) fn widened(x: &FlexTensor) -> Vec<f32> {
    let mut copy = None;
    match x.dtype() {
        DType::F16 => contiguous::<f16>(x, &mut copy)
            .iter()
            .map(|x| x.widen())
            .collect(),
        DType::BF16 => contiguous::<bf16>(x, &mut copy)
            .iter()
            .map(|x| x.widen())
            .collect(),
        _ => contiguous::<f32>(x, &mut copy).to_vec(),
    }
}

/// A `[batch, heads, len, dim]` tensor as rows; copied only if its rows are not stored as runs, or where pairs of bf16 numbers
/// would straddle them: whether pairs are multiplied must not depend on how a tensor lies in memory.
pub(crate) fn heads<'a, E: Scalar>(
    x: &'a FlexTensor,
    copy: &'a mut Option<FlexTensor>,
) -> Heads<'a, E> {
    let [batch, heads, len, dim] = x.layout().shape().dims();
    // The stride of an axis of one entry is never used.
    let strides = |x: &FlexTensor| {
        [(batch, 0), (heads, 1), (len, 2), (dim, 3)].map(|(length, axis)| {
            if length == 1 {
                0
            } else {
                x.layout().strides()[axis]
            }
        })
    };
    let [b, h, r, step] = strides(x);
    let runs = (step == 1 || dim == 1) && [b, h, r].iter().all(|stride| *stride >= 0);
    let paired = E::as_bf16(&[]).is_some() && dim.is_multiple_of(2);
    let straddled = [x.layout().start_offset() as isize, b, h, r]
        .iter()
        .any(|length| length % 2 != 0);
    let x = if runs && !(paired && straddled) {
        x
    } else {
        &*copy.insert(x.to_contiguous())
    };
    let [b, h, r, _] = strides(x).map(isize::unsigned_abs);
    Heads {
        data: x.storage(),
        offset: x.layout().start_offset(),
        strides: [b, h, r],
        batch,
        heads,
        len,
        dim,
    }
}

/// Calls a function generic over the scalar type with the one of `dtype`.
macro_rules! with_scalar {
    ($dtype:expr, $function:ident($($argument:expr),* $(,)?)) => {
        match $dtype {
            burn::tensor::DType::F16 => $function::<burn::tensor::f16>($($argument),*),
            burn::tensor::DType::BF16 => $function::<burn::tensor::bf16>($($argument),*),
            _ => $function::<f32>($($argument),*),
        }
    };
}
pub(crate) use with_scalar;
