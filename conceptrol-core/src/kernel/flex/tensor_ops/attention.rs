use burn::tensor::{Bytes, DType, Shape, Tensor};
use burn_flex::{FlexTensor, Layout};

use crate::kernel::{
    LogitBias,
    flex::{
        attention::{self, Segments},
        scalar::Scalar,
        tensor::{build, from_flex, heads, on_flex, widened, with_scalar},
    },
};

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
        Some(bias) => Some(widened(&on_flex(bias.rows())?)),
    };
    let segments = bias
        .zip(rows.as_ref())
        .map(|(bias, rows)| Segments::new(bias.keys(), rows, bias.rows().dims()[0], q_len, k_len));
    let out = with_scalar!(dtype, run_attention(&q, &k, &v, segments.as_ref()));
    Some(from_flex::<4>(out).swap_dims(1, 2)) // [batch, heads, q_len, value_dim]
}

fn run_attention<E: Scalar>(
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
    with_scalar!(dtype, run_text_map(&q, &k, &mut out));
    let out = Bytes::from_elems(out);
    let layout = Layout::contiguous(Shape::new([rows, q_len, text_len]));
    Some(from_flex(FlexTensor::new(out, layout, DType::F32)))
}

fn run_text_map<E: Scalar>(q: &FlexTensor, k: &FlexTensor, out: &mut [f32]) {
    let (mut q_copy, mut k_copy) = (None, None);
    attention::text_map(
        &heads::<E>(q, &mut q_copy),
        &heads::<E>(k, &mut k_copy),
        out,
    );
}
