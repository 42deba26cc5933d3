//! Results are the same bits for any number of threads.

use burn::tensor::{FloatDType, Tensor};
use conceptrol_core::kernel::{
    LogitBias, attention, conv2d, gelu, group_norm, layer_norm, linear, linear_compact, softmax,
    text_map,
};

use crate::{
    compact::rounded,
    numbers::{bits, numbers},
};

/// Every operation that is cut into tasks, on inputs that make more than one.
fn results(dtype: FloatDType) -> Vec<(&'static str, Vec<u8>)> {
    fn of<const D: usize>(shape: [usize; D], seed: u32, dtype: FloatDType) -> Tensor<D> {
        (numbers(shape, seed) * 2.0).cast(dtype)
    }
    let tokens = of([2, 301, 331], 1, dtype);
    let (gamma, beta) = (of([331], 2, dtype), of([331], 3, dtype));
    let heads = |len, seed| of([2, 3, len, 41], seed, dtype);
    let (q, k, v) = (heads(111, 4), heads(311, 5), heads(311, 6));
    let bias = LogitBias::new(vec![3..200, 100..311], numbers([2, 2, 111], 7) * 2.0);
    let pixels = |channels, seed| of([2, channels, 21, 17], seed, dtype);
    let conv = |channels: usize, kernel: usize, stride| {
        let weight = of([70, channels, kernel, kernel], 9, dtype);
        let padding = [(kernel / 2, kernel / 2); 2];
        bits(conv2d(pixels(channels, 8), weight, None, stride, padding))
    };
    vec![
        (
            "linear",
            bits(linear(tokens.clone(), of([150, 331], 10, dtype), None)),
        ),
        (
            "linear of few rows",
            bits(linear(
                tokens.clone().narrow(1, 0, 3),
                of([150, 331], 10, dtype),
                None,
            )),
        ),
        (
            "compact linear",
            bits(linear_compact(
                tokens.clone().narrow(2, 0, 320),
                &rounded([150, 320]),
                None,
            )),
        ),
        (
            "attention",
            bits(attention(q.clone(), k.clone(), v.clone(), None)),
        ),
        (
            "biased attention",
            bits(attention(q.clone(), k.clone(), v, Some(&bias))),
        ),
        ("text map", bits(text_map(q, k))),
        ("minimal filtering", conv(40, 3, 1)),
        ("minimal filtering of large tiles", conv(130, 3, 1)),
        ("convolution", conv(7, 3, 1)),
        ("strided convolution", conv(40, 3, 2)),
        ("pointwise convolution", conv(40, 1, 1)),
        ("softmax", bits(softmax(tokens.clone()))),
        (
            "layer norm",
            bits(layer_norm(tokens.clone(), Some(gamma), Some(beta), 1e-5)),
        ),
        (
            "group norm",
            bits(group_norm(
                pixels(40, 8),
                8,
                of([40], 11, dtype),
                of([40], 12, dtype),
                1e-5,
                true,
            )),
        ),
        ("gelu", bits(gelu(tokens))),
    ]
}

#[test]
fn threads_do_not_change_the_bits() {
    for dtype in [FloatDType::F32, FloatDType::BF16, FloatDType::F16] {
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.expect("a pool").install(|| results(dtype))
        };
        let one = with(1);
        for threads in [2, 3, 7] {
            for ((name, expected), (_, got)) in one.iter().zip(with(threads)) {
                assert!(*expected == got, "{name} with {threads} threads, {dtype:?}");
            }
        }
    }
}
