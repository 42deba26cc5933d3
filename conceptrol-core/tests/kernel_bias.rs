//! Structured bias against the same bias as a matrix.

use burn::tensor::{
    Device, FloatDType, Tensor, TensorData, Tolerance, module::attention_fallback,
    ops::AttentionModuleOptions,
};
use conceptrol_core::kernel::{LogitBias, attention, text_map};

/// Deterministic numbers in -1..1 that look random enough for a softmax.
fn numbers<const D: usize>(shape: [usize; D], seed: u32) -> Tensor<D> {
    let mut state = seed;
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

fn close<const D: usize>(a: Tensor<D>, b: Tensor<D>, absolute: f64) {
    let tolerance = Tolerance::<f32>::rel_abs(0.0, absolute);
    let (a, b) = (a.cast(FloatDType::F32), b.cast(FloatDType::F32));
    a.into_data()
        .assert_approx_eq::<f32>(&b.into_data(), tolerance);
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
    let dense = bias.dense(k_len).expand([batch, 3, q_len, k_len]);
    let options = AttentionModuleOptions::default();
    let expected = attention_fallback(q.clone(), k.clone(), v.clone(), None, Some(dense), options);
    close(attention(q, k, v, Some(&bias)), expected, 2e-6);
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
fn text_map_equals_the_softmax_and_sums_to_one() {
    let q = numbers([2, 3, 50, 40], 5);
    let k = numbers([2, 3, 77, 40], 6);
    let scores = q.clone().matmul(k.clone().swap_dims(2, 3)) / 40f64.sqrt();
    let expected = burn::tensor::activation::softmax(scores, 3)
        .mean_dim(1)
        .squeeze_dim::<3>(1);
    let map = text_map(q, k);
    close(
        map.clone().sum_dim(2),
        Tensor::ones([2, 50, 1], &Device::flex()),
        1e-6,
    );
    close(map, expected, 1e-7);
}
