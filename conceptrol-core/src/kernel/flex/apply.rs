//! The operations on tensors. Each gives `None` where the portable form must serve: on other devices and dtypes.

use burn::tensor::{DType, Shape, Tensor};
use burn_flex::{FlexTensor, Layout};

use super::{
    attention::{self, Segments},
    element::Number,
    elementwise::{self, Function},
    norm::{self, GroupNorm, RowNorm},
    tensor::{build, contiguous, from_flex, heads, on_flex, widened, with_number},
};
use crate::kernel::LogitBias;

/// [`attention`](crate::kernel::attention); the output is laid out as `[batch, q_len, heads, value_dim]`, so that joining the
/// heads afterwards costs nothing.
pub(crate) fn attention(
    q: &Tensor<4>,
    k: &Tensor<4>,
    v: &Tensor<4>,
    bias: Option<&LogitBias>,
) -> Option<Tensor<4>> {
    let [batch, heads, q_len, head_dim] = q.dims();
    let [k_batch, k_heads, k_len, k_dim] = k.dims();
    let [v_batch, v_heads, v_len, _] = v.dims();
    let same = [batch, heads, head_dim] == [k_batch, k_heads, k_dim]
        && [batch, heads, k_len] == [v_batch, v_heads, v_len];
    let dtype = q.dtype();
    if !same || [k.dtype(), v.dtype()] != [dtype; 2] || k_len == 0 || head_dim == 0 {
        return None; // the portable form says what is wrong
    }
    let (q, k, v) = (on_flex(q)?, on_flex(k)?, on_flex(v)?);
    let rows = match bias {
        None => None,
        Some(bias) => {
            bias.check(batch, q_len, k_len);
            Some(widened(&on_flex(bias.rows())?))
        }
    };
    let segments = bias
        .zip(rows.as_ref())
        .map(|(bias, rows)| Segments::new(bias.keys(), rows, bias.rows().dims()[0], q_len, k_len));
    let out = with_number!(dtype, run_attention(&q, &k, &v, segments.as_ref()));
    Some(from_flex::<4>(out).swap_dims(1, 2)) // [batch, heads, q_len, value_dim]
}

fn run_attention<E: Number>(
    q: &FlexTensor,
    k: &FlexTensor,
    v: &FlexTensor,
    bias: Option<&Segments<'_>>,
) -> FlexTensor {
    let (mut q_copy, mut k_copy, mut v_copy) = (None, None, None);
    let q = heads::<E>(q, &mut q_copy);
    let k = heads::<E>(k, &mut k_copy);
    let v = heads::<E>(v, &mut v_copy);
    let shape = Shape::new([q.batch, q.len, q.heads, v.dim]);
    // SAFETY: every row of every head is written.
    unsafe { build(shape, |out| attention::attention(&q, &k, &v, bias, out)) }
}

/// [`text_map`](crate::kernel::text_map).
pub(crate) fn text_map(q: &Tensor<4>, k_text: &Tensor<4>) -> Option<Tensor<3>> {
    let [rows, heads, q_len, head_dim] = q.dims();
    let [k_rows, k_heads, text_len, k_dim] = k_text.dims();
    let same = [rows, heads, head_dim] == [k_rows, k_heads, k_dim] && q.dtype() == k_text.dtype();
    if !same || text_len == 0 || head_dim == 0 {
        return None;
    }
    let (dtype, q, k) = (q.dtype(), on_flex(q)?, on_flex(k_text)?);
    let mut out = vec![0.0f32; rows * q_len * text_len];
    with_number!(dtype, run_text_map(&q, &k, &mut out));
    let out = burn::tensor::Bytes::from_elems(out);
    let layout = Layout::contiguous(Shape::new([rows, q_len, text_len]));
    Some(from_flex(FlexTensor::new(out, layout, DType::F32)))
}

fn run_text_map<E: Number>(q: &FlexTensor, k: &FlexTensor, out: &mut [f32]) {
    let (mut q_copy, mut k_copy) = (None, None);
    attention::text_map(
        &heads::<E>(q, &mut q_copy),
        &heads::<E>(k, &mut k_copy),
        out,
    );
}

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
    Ok(from_flex(with_number!(dtype, run_map(flex, function))))
}

fn run_map<E: Number>(mut x: FlexTensor, function: impl Function) -> FlexTensor {
    let dense = x.layout().start_offset() == 0 && x.layout().is_dense_unique_storage();
    let len = x.layout().num_elements();
    if dense && x.bytes().len() == len * size_of::<E>() {
        if let Some(numbers) = x.try_storage_mut::<E>() {
            let numbers = numbers.as_mut_ptr();
            // SAFETY: the storage is uniquely ours and holds `len` numbers.
            unsafe { elementwise::map(function, numbers, numbers, len) };
            return x;
        }
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
    Some(from_flex(with_number!(x.dtype(), run_geglu(&on_flex(x)?))))
}

fn run_geglu<E: Number>(x: &FlexTensor) -> FlexTensor {
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

/// [`group_norm`](crate::kernel::group_norm).
pub(crate) fn group_norm(
    x: &Tensor<4>,
    groups: usize,
    gamma: &Tensor<1>,
    beta: &Tensor<1>,
    eps: f64,
    silu: bool,
) -> Option<Tensor<4>> {
    let [_, channels, height, width] = x.dims();
    if [gamma.dims()[0], beta.dims()[0]] != [channels; 2] {
        return None;
    }
    let (gamma, beta) = (widened(&on_flex(gamma)?), widened(&on_flex(beta)?));
    let (gamma, beta, pixels) = (&gamma, &beta, height * width);
    let norm = GroupNorm {
        groups,
        channels,
        pixels,
        gamma,
        beta,
        eps,
        silu,
    };
    Some(from_flex(with_number!(
        x.dtype(),
        run_group_norm(&on_flex(x)?, norm)
    )))
}

fn run_group_norm<E: Number>(x: &FlexTensor, norm: GroupNorm<'_>) -> FlexTensor {
    let mut copy = None;
    let from = contiguous::<E>(x, &mut copy);
    // SAFETY: every group is written.
    unsafe {
        build(x.layout().shape().clone(), |to| {
            norm::group_norm(norm, from, to)
        })
    }
}

/// Normalisation of the last axis: layer norm if `centred`, else root mean square.
pub(crate) fn row_norm<const D: usize>(
    x: &Tensor<D>,
    gamma: Option<&Tensor<1>>,
    beta: Option<&Tensor<1>>,
    eps: f64,
    centred: bool,
) -> Option<Tensor<D>> {
    let width = x.dims()[D - 1];
    let parameter = |parameter: &Tensor<1>| {
        let parameter = widened(&on_flex(parameter)?);
        (parameter.len() == width).then_some(parameter)
    };
    let gamma = match gamma {
        None => None,
        Some(gamma) => Some(parameter(gamma)?),
    };
    let beta = match beta {
        None => None,
        Some(beta) => Some(parameter(beta)?),
    };
    let norm = RowNorm {
        width,
        gamma: gamma.as_deref(),
        beta: beta.as_deref(),
        eps,
        centred,
    };
    Some(from_flex(with_number!(
        x.dtype(),
        run_row_norm(&on_flex(x)?, norm)
    )))
}

fn run_row_norm<E: Number>(x: &FlexTensor, norm: RowNorm<'_>) -> FlexTensor {
    let mut copy = None;
    let from = contiguous::<E>(x, &mut copy);
    // SAFETY: every row is written.
    unsafe {
        build(x.layout().shape().clone(), |to| {
            norm::row_norm(norm, from, to)
        })
    }
}
