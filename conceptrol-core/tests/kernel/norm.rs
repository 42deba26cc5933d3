use burn::tensor::Tensor;
use conceptrol_core::kernel::{group_norm, layer_norm, rms_norm};

use crate::numbers::{near, numbers, values};

fn moments(x: &[f64]) -> (f64, f64) {
    let mean = x.iter().sum::<f64>() / x.len() as f64;
    (
        mean,
        x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64,
    )
}

#[test]
fn group_norm_agrees_with_its_definition() {
    for ([batch, channels, height, width], groups, offset) in [
        ([2, 8, 5, 7], 4, 0.0),
        ([1, 6, 33, 17], 2, 30.0),
        ([3, 32, 1, 1], 32, 0.0),
        ([1, 4, 64, 64], 1, -5.0),
    ] {
        let x = numbers([batch, channels, height, width], 1) + offset;
        let (gamma, beta) = (numbers([channels], 2), numbers([channels], 3));
        let (g, b, pixels) = (values(&gamma), values(&beta), height * width);
        let mut expected = Vec::new();
        for (slice, numbers) in values(&x).chunks(channels / groups * pixels).enumerate() {
            let (mean, variance) = moments(numbers);
            for (i, x) in numbers.iter().enumerate() {
                let channel = slice % groups * (channels / groups) + i / pixels;
                expected.push((x - mean) / (variance + 1e-5).sqrt() * g[channel] + b[channel]);
            }
        }
        let plain = group_norm(x.clone(), groups, gamma.clone(), beta.clone(), 1e-5, false);
        near(&values(&plain), &expected, 1e-5);
        let activated: Vec<f64> = expected.iter().map(|y| y / (1.0 + (-y).exp())).collect();
        near(
            &values(&group_norm(x, groups, gamma, beta, 1e-5, true)),
            &activated,
            1e-5,
        );
    }
}

#[test]
fn row_norms_agree_with_their_definitions() {
    for width in [1, 5, 320, 1283] {
        let x: Tensor<3> = numbers([2, 9, width], 1) * 3.0 + 1.0;
        let (gamma, beta) = (numbers([width], 2), numbers([width], 3));
        let (g, b) = (values(&gamma), values(&beta));
        let (mut layer, mut bare, mut rms) = (Vec::new(), Vec::new(), Vec::new());
        for row in values(&x).chunks(width) {
            let (mean, variance) = moments(row);
            let square = row.iter().map(|x| x * x).sum::<f64>() / width as f64;
            for (i, x) in row.iter().enumerate() {
                let normal = (x - mean) / (variance + 1e-5).sqrt();
                bare.push(normal);
                layer.push(normal * g[i] + b[i]);
                rms.push(x / (square + 1e-6).sqrt() * g[i]);
            }
        }
        near(
            &values(&layer_norm(x.clone(), None, None, 1e-5)),
            &bare,
            5e-6,
        );
        near(
            &values(&layer_norm(
                x.clone(),
                Some(gamma.clone()),
                Some(beta),
                1e-5,
            )),
            &layer,
            5e-6,
        );
        near(&values(&rms_norm(x, gamma, 1e-6)), &rms, 5e-6);
    }
}
