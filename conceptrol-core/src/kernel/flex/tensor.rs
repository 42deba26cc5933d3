//! Burn tensors as slices, and back.

use std::mem::MaybeUninit;

use burn::{
    backend::Flex,
    tensor::{Bytes, DType, Shape, Tensor, bf16, f16},
};
use burn_flex::{FlexTensor, Layout};

use super::{
    attention::Heads,
    element::Number,
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
/// # Safety
/// `fill` writes every element.
pub(crate) unsafe fn build<E: Number>(
    shape: Shape,
    fill: impl FnOnce(&mut [MaybeUninit<E>]),
) -> FlexTensor {
    let mut buffer = unfilled(shape.num_elements());
    fill(&mut buffer);
    // SAFETY: the caller's promise.
    let buffer = unsafe { filled(buffer) };
    FlexTensor::new(
        Bytes::from_elems(buffer),
        Layout::contiguous(shape),
        E::dtype(),
    )
}

/// The numbers of `x` in row-major order: borrowed if it is stored so, else copied into `copy`.
pub(crate) fn contiguous<'a, E: Number>(
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

/// A `[batch, heads, len, dim]` tensor as rows; copied only if its rows are not stored as runs.
pub(crate) fn heads<'a, E: Number>(
    x: &'a FlexTensor,
    copy: &'a mut Option<FlexTensor>,
) -> Heads<'a, E> {
    let dims: [usize; 4] = x.layout().shape().dims();
    let strides = x.layout().strides();
    let runs = (strides[3] == 1 || dims[3] == 1) && strides.iter().all(|stride| *stride >= 0);
    let x = if runs {
        x
    } else {
        &*copy.insert(x.to_contiguous())
    };
    let [batch, head, row, _] = [0, 1, 2, 3].map(|axis| x.layout().strides()[axis].unsigned_abs());
    Heads {
        data: x.storage(),
        offset: x.layout().start_offset(),
        strides: [batch, head, row],
        batch: dims[0],
        heads: dims[1],
        len: dims[2],
        dim: dims[3],
    }
}

/// Calls a function generic over the number type with the one of `dtype`.
macro_rules! with_number {
    ($dtype:expr, $function:ident($($argument:expr),* $(,)?)) => {
        match $dtype {
            burn::tensor::DType::F16 => $function::<burn::tensor::f16>($($argument),*),
            burn::tensor::DType::BF16 => $function::<burn::tensor::bf16>($($argument),*),
            _ => $function::<f32>($($argument),*),
        }
    };
}
pub(crate) use with_number;
