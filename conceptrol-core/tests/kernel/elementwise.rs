use burn::tensor::{Device, FloatDType, Tensor, TensorData, activation};
use conceptrol_core::kernel::{geglu, gelu, gelu_tanh, quick_gelu, silu};

use crate::numbers::{close, near, numbers, values};

/// -12..12, an odd number of them, with the extremes at the end.
fn inputs() -> Tensor<2> {
    let mut x: Vec<f32> = (0..2399).map(|i| i as f32 / 100.0 - 12.0).collect();
    x.extend([
        0.0, -0.0, 1e4, -1e4, 1e-30, -1e-30, 88.0, -88.0, -104.0, 3e38, -3e38,
    ]);
    let len = x.len();
    Tensor::from_data(TensorData::new(x, [1, len]), &Device::flex())
}

fn check(got: fn(Tensor<2>) -> Tensor<2>, expected: fn(f64) -> f64, absolute: f64) {
    let x = inputs();
    let expected: Vec<f64> = values(&x).into_iter().map(expected).collect();
    // Relative to the size of the input, where that is large.
    let scale = |y: Vec<f64>| -> Vec<f64> {
        y.iter()
            .zip(values(&x))
            .map(|(y, x)| y / x.abs().max(1.0))
            .collect()
    };
    near(&scale(values(&got(x.clone()))), &scale(expected), absolute);
}

#[test]
fn silu_agrees_with_its_definition() {
    check(silu, |x| x / (1.0 + (-x).exp()), 2e-7);
    check(quick_gelu, |x| x / (1.0 + (-1.702 * x).exp()), 2e-7);
}

#[test]
fn gelu_agrees_with_burn() {
    let x = numbers::<2>([33, 77], 1) * 8.0;
    close(&gelu(x.clone()), &activation::gelu(x.clone()), 1e-6);
    close(
        &gelu_tanh(x.clone()),
        &activation::gelu_approximate(x),
        1e-6,
    );
    check(
        gelu_tanh,
        |x| x / (1.0 + (-1.595_769_121_605_731 * (x + 0.044_715 * x * x * x)).exp()),
        3e-7,
    );
}

#[test]
fn gelu_vanishes_far_below_zero() {
    let far = Tensor::<1>::from_data([-6.5, -20.0, -1000.0], &Device::flex());
    near(&values(&gelu(far)), &[0.0; 3], 1e-6);
}

#[test]
fn geglu_multiplies_values_by_gates() {
    let x = numbers::<3>([2, 5, 1206], 1) * 3.0;
    let (value, gate) = (x.clone().narrow(2, 0, 603), x.clone().narrow(2, 603, 603));
    close(&geglu(x), &(value * activation::gelu(gate)), 1e-6);
}

#[test]
fn shared_and_strided_inputs_are_left_alone() {
    let x = numbers::<3>([4, 5, 6], 1);
    let before = values(&x);
    let _ = silu(x.clone());
    near(&values(&x), &before, 0.0);
    let turned = silu(x.clone().swap_dims(0, 2).narrow(0, 1, 3));
    close(
        &turned,
        &silu(x.clone()).swap_dims(0, 2).narrow(0, 1, 3),
        0.0,
    );
    let half = silu(x.clone().cast(FloatDType::BF16));
    close(&half.cast(FloatDType::F32), &silu(x), 4e-3);
}
