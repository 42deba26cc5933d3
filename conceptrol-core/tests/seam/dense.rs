//! Attention with a bias written out as a matrix.

use burn::tensor::{Tensor, TensorData, module::attention_fallback, ops::AttentionModuleOptions};
use conceptrol_core::{AttentionCall, kernel::LogitBias};

/// `softmax(q k^T / sqrt(d) + bias) v`, `bias` `[rows | 1, 1, q_len, k_len]`.
pub(crate) fn attention(call: AttentionCall, bias: Tensor<4>) -> Tensor<4> {
    let [rows, heads, q_len, _] = call.query.dims();
    let [.., k_len, _] = call.key.dims();
    let bias = bias.expand([rows, heads, q_len, k_len]);
    let options = AttentionModuleOptions::default();
    attention_fallback(call.query, call.key, call.value, None, Some(bias), options)
}

/// A structured bias as a matrix, `[rows | 1, 1, q_len, k_len]`: each range's values at each of its keys.
pub(crate) fn matrix(bias: &LogitBias, k_len: usize) -> Tensor<4> {
    let [batch, ranges, q_len] = bias.rows().dims();
    let rows: Vec<f32> = bias.rows().to_data().try_to_vec().expect("f32");
    let mut matrix = vec![0.0; batch * q_len * k_len];
    for (row, values) in matrix.chunks_exact_mut(k_len).enumerate() {
        let (image, query) = (row / q_len, row % q_len);
        for (range, keys) in bias.keys().iter().enumerate() {
            let value = rows[(image * ranges + range) * q_len + query];
            values[keys.clone()].iter_mut().for_each(|x| *x += value);
        }
    }
    let data = TensorData::new(matrix, [batch, 1, q_len, k_len]);
    Tensor::from_data(data, &bias.rows().device())
}

pub(crate) fn close(out: &Tensor<4>, expected: &Tensor<4>) {
    let values = |x: &Tensor<4>| x.to_data().try_to_vec::<f32>().expect("f32");
    for (i, (a, b)) in values(out).into_iter().zip(values(expected)).enumerate() {
        // not `> 2e-6`, which a NaN passes
        assert!((a - b).abs() <= 2e-6, "{a} instead of {b} at {i}");
    }
}
