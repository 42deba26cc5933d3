//! Inputs and comparisons.

use burn::tensor::{Device, FloatDType, Tensor, TensorData};

/// Deterministic numbers in -1..1 without visible structure.
pub(crate) fn numbers<const D: usize>(shape: [usize; D], seed: u32) -> Tensor<D> {
    let mut state = seed;
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

/// The numbers of a tensor, in row-major order.
pub(crate) fn values<const D: usize>(x: &Tensor<D>) -> Vec<f64> {
    let data = x.clone().cast(FloatDType::F32).into_data();
    let values = data.try_to_vec::<f32>().expect("f32");
    values.into_iter().map(f64::from).collect()
}

/// The bytes of a tensor, in row-major order.
pub(crate) fn bits<const D: usize>(x: Tensor<D>) -> Vec<u8> {
    x.into_data().as_bytes().to_vec()
}

/// Fails unless all numbers agree within `absolute`, saying which agree least.
pub(crate) fn close<const D: usize>(got: &Tensor<D>, expected: &Tensor<D>, absolute: f64) {
    assert_eq!(got.dims(), expected.dims(), "shapes");
    near(&values(got), &values(expected), absolute);
}

/// As [`close`], on plain numbers.
pub(crate) fn near(got: &[f64], expected: &[f64], absolute: f64) {
    assert_eq!(got.len(), expected.len(), "lengths");
    let (at, worst) = got
        .iter()
        .zip(expected)
        .map(|(a, b)| (a - b).abs())
        .map(|difference| {
            if difference.is_nan() {
                f64::INFINITY
            } else {
                difference
            }
        })
        .enumerate()
        .fold((0, 0.0), |worst, x| if x.1 > worst.1 { x } else { worst });
    assert!(
        worst <= absolute,
        "number {at} of {}: {} instead of {}, off by {worst:.2e}",
        got.len(),
        got[at],
        expected[at]
    );
}
