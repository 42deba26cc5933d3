use burn::tensor::Tensor;
use conceptrol_core::kernel::attention;
use proptest::prelude::*;

use crate::numbers::{close, near, numbers, values};

/// Attention by its definition, in `f64`.
pub(crate) fn naive(q: &Tensor<4>, k: &Tensor<4>, v: &Tensor<4>) -> Vec<f64> {
    let [batch, heads, q_len, dim] = q.dims();
    let [_, _, k_len, value_dim] = v.dims();
    let (q, k, v) = (values(q), values(k), values(v));
    let mut out = Vec::new();
    for head in 0..batch * heads {
        for query in q[head * q_len * dim..(head + 1) * q_len * dim].chunks(dim) {
            let keys = k[head * k_len * dim..(head + 1) * k_len * dim].chunks(dim);
            let scores: Vec<f64> = keys
                .map(|key| {
                    query.iter().zip(key).map(|(q, k)| q * k).sum::<f64>() / (dim as f64).sqrt()
                })
                .collect();
            let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores.iter().map(|score| (score - max).exp()).collect();
            let sum: f64 = weights.iter().sum();
            for column in 0..value_dim {
                let weighed = weights.iter().enumerate();
                let weighed =
                    weighed.map(|(key, w)| w * v[(head * k_len + key) * value_dim + column]);
                out.push(weighed.sum::<f64>() / sum);
            }
        }
    }
    out
}

#[test]
fn agrees_with_the_definition() {
    for (q_len, k_len, dim, value_dim) in [
        (1, 1, 8, 8),
        (7, 77, 40, 40),
        (77, 1030, 64, 64),
        (97, 255, 80, 80),
        (100, 257, 128, 128),
        (33, 300, 160, 160),
        (5, 40, 512, 512),
        (3, 5, 3, 7),
    ] {
        let q = numbers([2, 3, q_len, dim], 1) * 4.0;
        let k = numbers([2, 3, k_len, dim], 2);
        let v = numbers([2, 3, k_len, value_dim], 3);
        let expected = naive(&q, &k, &v);
        near(&values(&attention(q, k, v, None)), &expected, 2e-6);
    }
}

#[test]
fn strides_do_not_matter() {
    // As models have it: [batch, tokens, heads, dim] with the axes swapped, cut out of a longer sequence.
    let joint = |seed| {
        numbers::<4>([2, 50, 3, 40], seed)
            .swap_dims(1, 2)
            .narrow(2, 5, 40)
    };
    let (q, k, v) = (joint(1), joint(2), joint(3));
    near(
        &values(&attention(q.clone(), k.clone(), v.clone(), None)),
        &naive(&q, &k, &v),
        1e-6,
    );
    // Rows that are not runs.
    let k = numbers::<4>([2, 3, 40, 40], 4).swap_dims(2, 3);
    near(
        &values(&attention(q.clone(), k.clone(), v.clone(), None)),
        &naive(&q, &k, &v),
        1e-6,
    );
    // Heads broadcast without copies.
    let k = numbers::<4>([1, 1, 40, 40], 4).expand([2, 3, 40, 40]);
    near(
        &values(&attention(q.clone(), k.clone(), v.clone(), None)),
        &naive(&q, &k, &v),
        1e-6,
    );
}

#[test]
fn large_scores_stay_finite() {
    let (q, k, v) = (
        numbers([1, 1, 30, 16], 1) * 3e4,
        numbers([1, 1, 500, 16], 2),
        numbers([1, 1, 500, 16], 3),
    );
    let expected = naive(&q, &k, &v);
    // Scores of 1e5 carry an error of 1e-2 each.
    near(&values(&attention(q, k, v, None)), &expected, 3e-2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn queries_do_not_see_each_other(q_len in 1usize..130, k_len in 1usize..300, dim in 1usize..50, at in 0usize..130) {
        let at = at % q_len;
        let (q, k, v) = (numbers([1, 2, q_len, dim], 1), numbers([1, 2, k_len, dim], 2), numbers([1, 2, k_len, dim], 3));
        let one = attention(q.clone().narrow(2, at, 1), k.clone(), v.clone(), None);
        let all = attention(q, k, v, None).narrow(2, at, 1);
        // Same bits, wherever the query falls in a block.
        close(&one, &all, 0.0);
    }
}
