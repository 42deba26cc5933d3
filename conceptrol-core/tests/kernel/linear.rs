use burn::tensor::Tensor;
use conceptrol_core::kernel::{conv2d, linear, upsample_nearest2x};
use proptest::prelude::*;

use crate::numbers::{close, near, numbers, values};

/// `x weight^T + bias` in `f64`.
pub(crate) fn naive_linear(x: &[f64], weight: &[f64], bias: &[f64], d_in: usize) -> Vec<f64> {
    let dot = |x: &[f64], w: &[f64]| x.iter().zip(w).map(|(x, w)| x * w).sum::<f64>();
    let row = |x| {
        weight
            .chunks(d_in)
            .zip(bias)
            .map(move |(w, b)| dot(x, w) + b)
    };
    x.chunks(d_in).flat_map(row).collect()
}

#[test]
fn linear_agrees_with_the_definition() {
    for (rows, d_in, d_out) in [
        (1, 5, 7),
        (3, 320, 40),
        (5, 33, 31),
        (97, 300, 65),
        (200, 770, 290),
        (130, 1, 1),
    ] {
        let (x, weight, bias) = (
            numbers([2, rows, d_in], 1),
            numbers([d_out, d_in], 2),
            numbers([d_out], 3),
        );
        let zeros = vec![0.0; d_out];
        let with = naive_linear(&values(&x), &values(&weight), &values(&bias), d_in);
        let without = naive_linear(&values(&x), &values(&weight), &zeros, d_in);
        near(
            &values(&linear(x.clone(), weight.clone(), Some(bias))),
            &with,
            1e-4,
        );
        near(
            &values(&linear(x.clone(), weight.clone(), None)),
            &without,
            1e-4,
        );
        // A transposed view as the weight.
        let turned = weight
            .clone()
            .transpose()
            .reshape([d_in, d_out])
            .transpose();
        near(&values(&linear(x, turned, None)), &without, 1e-4);
    }
}

/// A convolution by its definition, in `f64`.
pub(crate) fn naive_conv(
    x: &Tensor<4>,
    weight: &Tensor<4>,
    bias: &[f64],
    stride: usize,
    padding: [(usize, usize); 2],
) -> Vec<f64> {
    let [batch, c_in, height, width] = x.dims();
    let [c_out, _, kh, kw] = weight.dims();
    let (x, weight) = (values(x), values(weight));
    let rows = (height + padding[0].0 + padding[0].1 - kh) / stride + 1;
    let columns = (width + padding[1].0 + padding[1].1 - kw) / stride + 1;
    let mut out = Vec::new();
    for image in 0..batch {
        for channel in 0..c_out {
            for (row, column) in
                (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)))
            {
                let mut sum = bias[channel];
                for (i, ky, kx) in
                    (0..c_in).flat_map(|i| (0..kh * kw).map(move |k| (i, k / kw, k % kw)))
                {
                    let (y, x_) = (row * stride + ky, column * stride + kx);
                    if (padding[0].0..padding[0].0 + height).contains(&y)
                        && (padding[1].0..padding[1].0 + width).contains(&x_)
                    {
                        let at = ((image * c_in + i) * height + y - padding[0].0) * width + x_
                            - padding[1].0;
                        sum += x[at] * weight[((channel * c_in + i) * kh + ky) * kw + kx];
                    }
                }
                out.push(sum);
            }
        }
    }
    out
}

/// Sums of up to 2700 products of numbers below one: `f32` keeps four decimals.
fn check_conv(x: [usize; 4], weight: [usize; 4], stride: usize, padding: [(usize, usize); 2]) {
    let c_out = weight[0];
    let (x, weight, bias) = (numbers(x, 1), numbers(weight, 2), numbers([c_out], 3));
    let expected = naive_conv(&x, &weight, &values(&bias), stride, padding);
    near(
        &values(&conv2d(x, weight, Some(bias), stride, padding)),
        &expected,
        1e-4,
    );
}

#[test]
fn convolutions_agree_with_the_definition() {
    let one = [(1, 1); 2];
    check_conv([1, 3, 9, 11], [5, 3, 3, 3], 1, one);
    check_conv([2, 4, 8, 8], [40, 4, 3, 3], 1, one);
    check_conv([2, 7, 9, 6], [5, 7, 3, 3], 2, one);
    check_conv([2, 300, 5, 7], [17, 300, 1, 1], 1, [(0, 0); 2]);
    check_conv([1, 5, 8, 8], [6, 5, 3, 3], 2, [(0, 1); 2]);
    check_conv([1, 3, 28, 28], [12, 3, 14, 14], 14, [(0, 0); 2]);
    check_conv([1, 2, 5, 6], [3, 2, 1, 3], 1, [(0, 0), (2, 3)]);
    // The last task begins beyond the last row.
    check_conv([1, 2, 11, 161], [3, 2, 1, 3], 1, [(0, 0), (1, 1)]);
    check_conv([1, 130, 7, 70], [100, 130, 3, 1], 1, [(1, 1), (0, 0)]);
}

#[test]
fn minimal_filtering_agrees_with_the_definition() {
    for (batch, channels, height, width) in [
        (1, 32, 1, 1),
        (2, 40, 8, 8),
        (3, 33, 5, 9),
        (1, 300, 12, 7),
        (1, 32, 40, 66),
        // tiles of 4x4
        (2, 130, 21, 17),
        (1, 128, 12, 12),
        (3, 300, 13, 14),
    ] {
        check_conv(
            [batch, channels, height, width],
            [35, channels, 3, 3],
            1,
            [(1, 1); 2],
        );
    }
    check_conv([1, 32, 9, 8], [32, 32, 3, 3], 1, [(0, 0); 2]);
    check_conv([1, 32, 9, 8], [32, 32, 3, 3], 1, [(0, 2), (3, 1)]);
    check_conv([1, 130, 15, 17], [32, 130, 3, 3], 1, [(0, 0); 2]);
    check_conv([1, 130, 11, 130], [32, 130, 3, 3], 1, [(0, 5), (7, 1)]);
}

#[test]
fn strides_of_the_image_do_not_matter() {
    let x = numbers::<4>([8, 9, 2, 34], 1).permute([2, 3, 0, 1]);
    let weight = numbers::<4>([36, 34, 3, 3], 2);
    let copy = Tensor::from_data(x.clone().into_data(), &x.device());
    let both = [x, copy].map(|x| conv2d(x, weight.clone(), None, 1, [(1, 1); 2]));
    close(&both[0], &both[1], 0.0);
}

#[test]
fn upsampling_repeats_pixels() {
    let x = numbers::<4>([1, 2, 3, 4], 1);
    let expected = x
        .clone()
        .repeat_dim(3, 1)
        .reshape([1, 2, 3, 1, 4, 1])
        .expand([1, 2, 3, 2, 4, 2])
        .reshape([1, 2, 6, 8]);
    close(&upsample_nearest2x(x), &expected, 0.0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn rows_do_not_see_each_other(rows in 5usize..220, d_in in 1usize..600, d_out in 1usize..80, at in 0usize..220) {
        let at = at % rows;
        let (x, weight) = (numbers::<2>([rows, d_in], 1), numbers([d_out, d_in], 2));
        let all = linear(x.clone(), weight.clone(), None).narrow(0, at, 1);
        let five = x.narrow(0, at, 1).repeat_dim(0, 5);
        // Same bits, wherever the row falls in a block.
        close(&linear(five, weight, None).narrow(0, 0, 1), &all, 0.0);
    }
}
