//! Plain bodies, until the kernels of the same names and signatures are in place.

use burn::tensor::{
    DType, FloatDType, Tensor, activation,
    module::{conv2d as burn_conv2d, linear as burn_linear},
    ops::ConvOptions,
};

pub(super) fn linear<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
) -> Tensor<D> {
    burn_linear(x, weight.swap_dims(0, 1), bias)
}

pub(super) fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: usize,
    [(top, bottom), (left, right)]: [(usize, usize); 2],
) -> Tensor<4> {
    let x = x.pad(
        (left, right, top, bottom),
        burn::tensor::ops::PadMode::Constant(0.0),
    );
    burn_conv2d(
        x,
        weight,
        bias,
        ConvOptions::new([stride; 2], [0; 2], [1; 2], 1),
    )
}

pub(super) fn group_norm(
    x: Tensor<4>,
    groups: usize,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    eps: f64,
    silu: bool,
) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let dtype = FloatDType::from(DType::from(x.dtype()));
    let x = x
        .cast(FloatDType::F32)
        .reshape([batch, groups, channels / groups * height * width]);
    let centred = x.clone() - x.mean_dim(2);
    let variance = (centred.clone() * centred.clone()).mean_dim(2);
    let x = (centred / (variance + eps).sqrt()).reshape([batch, channels, height, width]);
    let gamma = gamma.cast(FloatDType::F32).reshape([1, channels, 1, 1]);
    let beta = beta.cast(FloatDType::F32).reshape([1, channels, 1, 1]);
    let x = x * gamma + beta;
    if silu { activation::silu(x) } else { x }.cast(dtype)
}

pub(super) fn layer_norm(
    x: Tensor<3>,
    gamma: Option<Tensor<1>>,
    beta: Option<Tensor<1>>,
    eps: f64,
) -> Tensor<3> {
    let dtype = FloatDType::from(x.dtype());
    let x = x.cast(FloatDType::F32);
    let centred = x.clone() - x.mean_dim(2);
    let variance = (centred.clone() * centred.clone()).mean_dim(2);
    let mut x = centred / (variance + eps).sqrt();
    if let Some(gamma) = gamma {
        x = x * gamma.cast(FloatDType::F32).unsqueeze();
    }
    if let Some(beta) = beta {
        x = x + beta.cast(FloatDType::F32).unsqueeze();
    }
    x.cast(dtype)
}

pub(super) fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::silu(x)
}

pub(super) fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::gelu(x)
}

pub(super) fn gelu_tanh<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::gelu_approximate(x)
}

pub(super) fn quick_gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.clone() * activation::sigmoid(x * 1.702)
}
