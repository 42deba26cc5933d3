use burn::tensor::{DType, FloatDType, Tensor};

use super::LogitBias;

/// The least total logit a blocked key gets. `exp(-3000)` is zero in every dtype, and the factor stays inside the range of
/// `f16`, which the flash kernels of the GPU backends use internally whatever the dtype of the tensors.
const BLOCKED_LOGIT: f64 = -3e3;

/// Rewrites attention with a structured bias as attention without one, on longer heads.
///
/// The bias is a sum over key ranges of (value per query row) x (indicator of the range): a matrix product of rank
/// `keys.len()`. Appending the values to the queries and the indicators to the keys adds it to the logits inside the one
/// matrix product every attention kernel performs anyway. Values are split into a coarse and a fine part, two dimensions each,
/// so that a kernel with 11-bit operands keeps 22 bits of them.
///
/// # Shapes
/// - q, k, v: as in [`attention`](super::attention)
/// - output: q and k on a common head dimension, v on its own, each a multiple of `step`; the scale `1 / sqrt(head_dim)` of
///   the input is already part of q
pub(crate) fn augment(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    bias: Option<&LogitBias>,
    step: usize,
) -> (Tensor<4>, Tensor<4>, Tensor<4>) {
    let [batch, heads, q_len, head_dim] = q.dims();
    let [.., value_dim] = v.dims();
    let extra = bias.map_or(0, |bias| 2 * bias.keys().len());
    let padded = (head_dim + extra).next_multiple_of(step);
    let v = pad(v, value_dim.next_multiple_of(step));
    if padded == head_dim {
        return (q, k, v);
    }

    // softmax sees q k^T / sqrt(padded): put back what the longer head takes away.
    let q = q * (padded as f64 / head_dim as f64).sqrt();
    let (q, k) = match bias {
        None => (q, k),
        Some(bias) => {
            let rows = bias.rows_on(&q).clamp_min(BLOCKED_LOGIT) * (padded as f64).sqrt(); // [batch, ranges, q_len]
            let coarse = rows
                .clone()
                .cast(coarse_dtype(q.dtype()))
                .cast(FloatDType::F32);
            let fine = rows - coarse.clone();
            let features = Tensor::cat(vec![coarse, fine], 1)
                .swap_dims(1, 2)
                .cast(FloatDType::from(q.dtype()))
                .reshape([batch, 1, q_len, extra])
                .expand([batch, heads, q_len, extra]);
            let indicators = bias.indicators(&k); // [k_len, ranges]
            let indicators = Tensor::cat(vec![indicators.clone(), indicators], 1);
            let k_len = k.dims()[2];
            let indicators = indicators
                .reshape([1, 1, k_len, extra])
                .expand([batch, heads, k_len, extra]);
            (
                Tensor::cat(vec![q, features], 3),
                Tensor::cat(vec![k, indicators], 3),
            )
        }
    };
    (pad(q, padded), pad(k, padded), v)
}

/// The dtype with the precision a kernel may reduce its operands to.
fn coarse_dtype(dtype: DType) -> FloatDType {
    match dtype {
        DType::BF16 => FloatDType::BF16,
        _ => FloatDType::F16,
    }
}

/// Appends zeros to the last axis until it is `width` long.
fn pad(x: Tensor<4>, width: usize) -> Tensor<4> {
    let [batch, heads, len, old] = x.dims();
    if old == width {
        return x;
    }
    let zeros = Tensor::zeros([batch, heads, len, width - old], (&x.device(), x.dtype()));
    Tensor::cat(vec![x, zeros], 3)
}
