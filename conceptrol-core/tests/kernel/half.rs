//! 16-bit numbers: the same products and sums as in `f32`, rounded where they are stored, by whatever multiplies them here.

use burn::tensor::{FloatDType, Tensor};
use conceptrol_core::kernel::{LogitBias, attention, conv2d, linear};
use proptest::prelude::*;

use crate::{
    attention::naive,
    linear::{naive_conv, naive_linear},
    numbers::{close, numbers, values},
};

/// Both types, and half the distance between neighbours near one.
const TYPES: [(FloatDType, f64); 2] = [
    (FloatDType::F16, 1.0 / 2048.0),
    (FloatDType::BF16, 1.0 / 256.0),
];

/// Fails unless each number is the expected one rounded, after errors of `absolute`.
fn rounded<const D: usize>(got: &Tensor<D>, expected: &[f64], relative: f64, absolute: f64) {
    for (at, (got, expected)) in values(got).iter().zip(expected).enumerate() {
        let bound = expected.abs() * relative + absolute;
        let off = (got - expected).abs();
        assert!(
            off <= bound,
            "number {at}: {got} instead of {expected}, off by {off:.2e} of {bound:.2e}"
        );
    }
}

#[test]
fn linear_rounds_once() {
    for (dtype, step) in TYPES {
        for (rows, d_in, d_out) in [
            (3, 40, 7),
            (5, 2, 1),
            (33, 50, 31),
            (40, 301, 33),
            (97, 320, 65),
            (300, 770, 290),
            (64, 1280, 32),
        ] {
            let half = |shape, seed| numbers::<2>(shape, seed).cast(dtype);
            let (x, weight) = (half([rows, d_in], 1), half([d_out, d_in], 2));
            let bias = numbers([d_out], 3).cast(dtype);
            let expected = naive_linear(&values(&x), &values(&weight), &values(&bias), d_in);
            let out = linear(x, weight, Some(bias));
            assert_eq!(FloatDType::from(out.dtype()), dtype);
            rounded(&out, &expected, step, 1e-4);
        }
    }
}

#[test]
fn convolutions_round_once() {
    let one = [(1, 1); 2];
    for (dtype, step) in TYPES {
        for (x, weight, stride, padding) in [
            ([1, 4, 9, 11], [5, 4, 3, 3], 1, one),
            ([2, 40, 8, 8], [40, 40, 3, 3], 1, one),
            ([2, 33, 5, 9], [35, 33, 3, 3], 1, one),
            ([1, 320, 12, 7], [35, 320, 3, 3], 1, one),
            ([1, 32, 40, 66], [97, 32, 3, 3], 1, one),
            ([1, 320, 12, 14], [35, 320, 3, 3], 1, one),
            ([2, 130, 21, 17], [33, 130, 3, 3], 1, one),
            ([1, 2, 11, 161], [3, 2, 3, 3], 1, one),
            ([2, 300, 5, 7], [17, 300, 1, 1], 1, [(0, 0); 2]),
            ([2, 6, 9, 6], [5, 6, 3, 3], 2, one),
            ([1, 6, 8, 8], [6, 6, 3, 3], 2, [(0, 1); 2]),
            ([1, 2, 11, 10], [6, 2, 2, 4], 3, [(1, 0), (0, 2)]),
            ([1, 3, 28, 28], [12, 3, 14, 14], 14, [(0, 0); 2]),
            ([1, 2, 5, 6], [3, 2, 1, 3], 1, [(0, 0), (2, 3)]),
            ([1, 130, 7, 70], [100, 130, 3, 1], 1, [(1, 1), (0, 0)]),
        ] {
            let bias = numbers([weight[0]], 3).cast(dtype);
            let half = |shape, seed| numbers::<4>(shape, seed).cast(dtype);
            let (x, weight) = (half(x, 1), half(weight, 2));
            let expected = naive_conv(&x, &weight, &values(&bias), stride, padding);
            // Minimal filtering rounds no 16-bit number either.
            rounded(
                &conv2d(x, weight, Some(bias), stride, padding),
                &expected,
                step,
                2e-4,
            );
        }
    }
}

#[test]
fn attention_rounds_weights_and_sums() {
    for (dtype, step) in TYPES {
        for (q_len, k_len, dim, value_dim) in [
            (1, 1, 8, 8),
            (7, 77, 40, 40),
            (77, 1030, 64, 64),
            (97, 255, 80, 80),
            (100, 257, 128, 128),
            (33, 300, 160, 160),
            (5, 40, 512, 512),
            (9, 31, 10, 7),
            (3, 5, 3, 7),
        ] {
            let q = (numbers([2, 3, q_len, dim], 1) * 4.0).cast(dtype);
            let k = numbers([2, 3, k_len, dim], 2).cast(dtype);
            let v = numbers([2, 3, k_len, value_dim], 3).cast(dtype);
            let expected = naive(&q, &k, &v);
            let out = attention(q, k, v, None);
            assert_eq!(FloatDType::from(out.dtype()), dtype);
            // Weights of values below one add up to it; only in bf16 they may be rounded.
            let weights = if dtype == FloatDType::BF16 {
                step
            } else {
                2e-6
            };
            rounded(&out, &expected, step, weights);
        }
    }
}

#[test]
fn attention_takes_bias_and_strides() {
    for (dtype, step) in TYPES {
        let joint = |seed, from| {
            let x = numbers::<4>([2, 400, 3, 41], seed).cast(dtype);
            x.swap_dims(1, 2).narrow(2, 5, 390).narrow(3, from, 40)
        };
        // Rows of 41 numbers are no whole pairs.
        let (q, k, v) = (joint(1, 0), joint(2, 1), joint(3, 0));
        let rows = numbers([2, 2, 390], 4) * 2.0;
        let blocked = Tensor::full([2, 1, 390], LogitBias::BLOCKED, &rows.device());
        let rows = Tensor::cat(vec![rows, blocked], 1);
        let bias = LogitBias::new(vec![0..100, 50..300, 301..390], rows);
        let wide = |x: &Tensor<4>| x.clone().cast(FloatDType::F32);
        let expected = values(&attention(wide(&q), wide(&k), wide(&v), Some(&bias)));
        let dense = |x: &Tensor<4>| Tensor::<4>::from_data(x.clone().into_data(), &x.device());
        let contiguous = attention(dense(&q), dense(&k), dense(&v), Some(&bias));
        rounded(&attention(q, k, v, Some(&bias)), &expected, step, step);
        rounded(&contiguous, &expected, step, step);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn rows_do_not_see_each_other(rows in 5usize..220, d_in in 1usize..600, d_out in 1usize..80, at in 0usize..220) {
        let at = at % rows;
        let (x, weight) = (numbers::<2>([rows, d_in], 1), numbers([d_out, d_in], 2));
        let (x, weight) = (x.cast(FloatDType::BF16), weight.cast(FloatDType::BF16));
        let all = linear(x.clone(), weight.clone(), None).narrow(0, at, 1);
        let five = x.narrow(0, at, 1).repeat_dim(0, 5);
        close(&linear(five, weight, None).narrow(0, 0, 1), &all, 0.0);
    }

    #[test]
    fn queries_do_not_see_each_other(q_len in 1usize..130, k_len in 1usize..300, dim in 1usize..50, at in 0usize..130) {
        let at = at % q_len;
        let half = |len, seed| numbers::<4>([1, 2, len, dim], seed).cast(FloatDType::BF16);
        let (q, k, v) = (half(q_len, 1), half(k_len, 2), half(k_len, 3));
        let one = attention(q.clone().narrow(2, at, 1), k.clone(), v.clone(), None);
        close(&one, &attention(q, k, v, None).narrow(2, at, 1), 0.0);
    }
}
