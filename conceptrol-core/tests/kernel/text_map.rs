use burn::tensor::{Device, Tensor, TensorData, activation::softmax};
use conceptrol_core::kernel::{self, text_map};

use crate::numbers::{close, numbers};

#[test]
fn equals_the_softmax_and_sums_to_one() {
    for (q_len, text_len, dim) in [(1, 5, 8), (50, 77, 40), (130, 512, 128)] {
        let q = numbers([2, 3, q_len, dim], 5);
        let k = numbers([2, 3, text_len, dim], 6);
        let scores = q.clone().matmul(k.clone().swap_dims(2, 3)) / (dim as f64).sqrt();
        let expected: Tensor<3> = softmax(scores, 3).mean_dim(1).squeeze_dim(1);
        let map = text_map(q, k);
        close(
            &map.clone().sum_dim(2),
            &Tensor::ones([2, q_len, 1], &Device::flex()),
            1e-6,
        );
        close(&map, &expected, 1e-7);
    }
}

#[test]
fn softmax_agrees_with_burn() {
    for width in [1, 5, 77, 1030] {
        let x = numbers::<3>([3, 7, width], 1) * 9.0;
        close(&kernel::softmax(x.clone()), &softmax(x, 2), 1e-6);
    }
}

/// Products with numbers below the smallest normal one are slow on most processors, so no weight is such a number.
#[test]
fn weights_are_normal_numbers_or_zero() {
    let scores: Vec<f32> = (0..96).map(|step| -(step as f32) / 0.8).collect();
    let x = Tensor::<2>::from_data(TensorData::new(scores, [1, 96]), &Device::flex());
    let weights = kernel::softmax(x)
        .into_data()
        .try_to_vec::<f32>()
        .expect("f32");
    assert!(
        weights
            .iter()
            .all(|weight| weight.is_normal() || *weight == 0.0),
        "{weights:?}"
    );
    // The cut is where normal numbers end, between the weights of -86.25 and -87.5.
    assert!(weights[69] > 0.0 && weights[70] == 0.0, "{weights:?}");
}
