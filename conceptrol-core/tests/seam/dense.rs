//! Attention with a bias written out as a matrix.

use std::ops::Range;

use burn::tensor::{Device, Tensor, module::attention_fallback, ops::AttentionModuleOptions};
use conceptrol_core::{AttentionCall, kernel::LogitBias};

/// The bias by its definition, `[batch, 1, q_len, k_len]`.
pub(crate) fn matrix(bias: &LogitBias, k_len: usize) -> Tensor<4> {
    let [batch, _, q_len] = bias.rows().dims();
    let mut sum = Tensor::zeros([batch, 1, q_len, k_len], &Device::flex());
    let some = |(_, keys): &(usize, &Range<usize>)| !keys.is_empty();
    for (range, keys) in bias.keys().iter().enumerate().filter(some) {
        let row = bias.rows().clone().narrow(1, range, 1); // [batch, 1, q_len]
        let row = row.unsqueeze_dim::<4>(3).expand([batch, 1, q_len, keys.len()]);
        let before = sum.clone().slice_dim(3, keys.clone());
        sum = sum.slice_assign([0..batch, 0..1, 0..q_len, keys.clone()], before + row);
    }
    sum
}

/// `softmax(q k^T / sqrt(d) + bias) v`, `bias` `[rows | 1, 1, q_len, k_len]`.
pub(crate) fn attention(call: AttentionCall, bias: Tensor<4>) -> Tensor<4> {
    let [rows, heads, q_len, _] = call.query.dims();
    let [.., k_len, _] = call.key.dims();
    let bias = bias.expand([rows, heads, q_len, k_len]);
    let options = AttentionModuleOptions::default();
    attention_fallback(call.query, call.key, call.value, None, Some(bias), options)
}

pub(crate) fn close(out: &Tensor<4>, expected: &Tensor<4>) {
    let values = |x: &Tensor<4>| x.to_data().try_to_vec::<f32>().expect("f32");
    for (i, (a, b)) in values(out).into_iter().zip(values(expected)).enumerate() {
        // not `> 2e-6`, which a NaN passes
        assert!((a - b).abs() <= 2e-6, "{a} instead of {b} at {i}");
    }
}
