//! Structured bias against the same bias as a matrix.

use burn::tensor::{
    Device, Tensor, TensorData, module::attention_fallback, ops::AttentionModuleOptions,
};
use conceptrol_core::kernel::{LogitBias, attention};

use crate::numbers::{close, numbers, values};

/// The bias by its definition, `[batch, 1, q_len, k_len]`.
fn dense(bias: &LogitBias, k_len: usize) -> Tensor<4> {
    let [batch, ranges, q_len] = bias.rows().dims();
    let rows = values(bias.rows());
    let mut matrix = vec![0.0f32; batch * q_len * k_len];
    for (row, line) in matrix.chunks_exact_mut(k_len).enumerate() {
        let (batch, query) = (row / q_len, row % q_len);
        for (range, keys) in bias.keys().iter().enumerate() {
            let value = rows[(batch * ranges + range) * q_len + query] as f32;
            line[keys.clone()].iter_mut().for_each(|x| *x += value);
        }
    }
    Tensor::from_data(
        TensorData::new(matrix, [batch, 1, q_len, k_len]),
        &Device::flex(),
    )
}

fn check(batch: usize, q_len: usize, k_len: usize, head_dim: usize, blocked: bool) {
    let q = numbers([batch, 3, q_len, head_dim], 1) * 3.0;
    let k = numbers([batch, 3, k_len, head_dim], 2);
    let v = numbers([batch, 3, k_len, head_dim], 3);
    let mut rows = numbers([batch, 2, q_len], 4) * 2.0;
    if blocked {
        let half = Tensor::full([batch, 1, q_len], LogitBias::BLOCKED, &Device::flex());
        rows = Tensor::cat(vec![rows.narrow(1, 0, 1), half], 1);
    }
    let bias = LogitBias::new(vec![0..k_len / 3, k_len / 2..k_len], rows);
    let dense = dense(&bias, k_len).expand([batch, 3, q_len, k_len]);
    let options = AttentionModuleOptions::default();
    let expected = attention_fallback(q.clone(), k.clone(), v.clone(), None, Some(dense), options);
    close(&attention(q, k, v, Some(&bias)), &expected, 2e-6);
}

#[test]
fn structured_bias_equals_the_dense_one() {
    for q_len in [1, 7, 77] {
        for head_dim in [8, 40, 64, 128] {
            check(2, q_len, 51, head_dim, false);
            check(1, q_len, 51, head_dim, true);
        }
    }
    check(1, 700, 1030, 16, true);
}

#[test]
fn ranges_may_overlap_and_be_empty() {
    let (q, k, v) = (
        numbers([1, 2, 9, 24], 1),
        numbers([1, 2, 40, 24], 2),
        numbers([1, 2, 40, 8], 3),
    );
    let bias = LogitBias::new(vec![3..30, 20..40, 7..7], numbers([1, 3, 9], 4) * 3.0);
    let dense = dense(&bias, 40).expand([1, 2, 9, 40]);
    let options = AttentionModuleOptions::default();
    let expected = attention_fallback(q.clone(), k.clone(), v.clone(), None, Some(dense), options);
    close(&attention(q, k, v, Some(&bias)), &expected, 1e-6);
}

#[test]
#[should_panic(expected = "key range 2..8 of the bias ends beyond 7 keys")]
fn a_range_beyond_the_keys_is_refused() {
    let bias = LogitBias::new(vec![2..8], numbers([1, 1, 3], 1));
    let (q, k) = (numbers([1, 1, 3, 8], 1), numbers([1, 1, 7, 8], 2));
    let _ = attention(q, k.clone(), k, Some(&bias));
}

#[test]
fn a_blocked_range_counts_for_nothing() {
    let device = Device::flex();
    let (q, k, v) = (
        numbers([1, 1, 5, 16], 1),
        numbers([1, 1, 600, 16], 2),
        numbers([1, 1, 600, 16], 3),
    );
    // The first tiles of keys are blocked altogether.
    let bias = LogitBias::new(
        vec![0..530],
        Tensor::full([1, 1, 5], LogitBias::BLOCKED, &device),
    );
    let rest = |x: &Tensor<4>| x.clone().narrow(2, 530, 70);
    let expected = attention(q.clone(), rest(&k), rest(&v), None);
    close(&attention(q, k, v, Some(&bias)), &expected, 1e-6);
}

/// Some queries see a range, others do not: tiles that count for nothing are left out query by query.
#[test]
fn a_range_may_be_blocked_for_some_queries() {
    let device = Device::flex();
    let (q, k, v) = (
        numbers([2, 2, 130, 16], 1) * 3.0,
        numbers([2, 2, 1100, 16], 2),
        numbers([2, 2, 1100, 16], 3),
    );
    let blocked = |len| Tensor::<3>::full([2, 1, len], LogitBias::BLOCKED, &device);
    let rows = vec![
        blocked(40),
        numbers([2, 1, 3], 4),
        blocked(37),
        numbers([2, 1, 50], 5),
    ];
    let bias = LogitBias::new(vec![300..1100], Tensor::cat(rows, 2));
    let dense = dense(&bias, 1100).expand([2, 2, 130, 1100]);
    let options = AttentionModuleOptions::default();
    let expected = attention_fallback(q.clone(), k.clone(), v.clone(), None, Some(dense), options);
    close(&attention(q, k, v, Some(&bias)), &expected, 2e-6);
}
