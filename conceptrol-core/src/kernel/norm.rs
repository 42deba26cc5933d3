use burn::tensor::{DType, FloatDType, Tensor, module};

#[cfg(feature = "flex")]
use super::flex;
use super::silu;

/// Group normalisation over channels and pixels, then `gamma` and `beta` per channel, then optionally [`silu`].
///
/// # Shapes
/// - x: `[batch, channels, height, width]`
/// - gamma, beta: `[channels]`
/// - output: as x
///
/// # Panics
/// If `channels` is not a multiple of `groups`, or `gamma` and `beta` have another length.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use conceptrol_core::kernel::group_norm;
///
/// let device = Device::flex();
/// // Two channels of one pixel, one group: mean 3, deviation 2.
/// let x = Tensor::<4>::from_data([[[[1.0]], [[5.0]]]], &device);
/// let (gamma, beta) = (Tensor::<1>::ones([2], &device), Tensor::<1>::zeros([2], &device));
/// let y = group_norm(x, 1, gamma, beta, 0.0, false);
/// assert_eq!(y.into_data().try_to_vec::<f32>().unwrap(), [-1.0, 1.0]);
/// ```
///
/// Source: Wu and He, "Group Normalization", 2018.
pub fn group_norm(
    x: Tensor<4>,
    groups: usize,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    eps: f64,
    silu: bool,
) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    assert!(
        groups > 0 && channels % groups == 0,
        "{channels} channels do not form {groups} groups"
    );
    #[cfg(feature = "flex")]
    if let Some(y) = flex::group_norm(&x, groups, &gamma, &beta, eps, silu) {
        return y;
    }
    let dtype = FloatDType::from(x.dtype());
    // Sums of squares overflow and cancel in 16 bits.
    let x = x
        .cast(FloatDType::F32)
        .reshape([batch, groups, channels / groups * height * width]);
    let x = standardised(x, eps).reshape([batch, channels, height, width]);
    let gamma = gamma.cast(FloatDType::F32).reshape([1, channels, 1, 1]);
    let beta = beta.cast(FloatDType::F32).reshape([1, channels, 1, 1]);
    let y = x * gamma + beta;
    let y = if silu { self::silu(y) } else { y };
    y.cast(dtype)
}

/// Layer normalisation over the last axis; without `gamma` and `beta` it is the one of adaptive norms.
///
/// # Shapes
/// - x: `[batch, tokens, width]`
/// - gamma, beta: `[width]`
/// - output: as x
///
/// # Panics
/// If `gamma` or `beta` has another length.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use conceptrol_core::kernel::layer_norm;
///
/// let x = Tensor::<3>::from_data([[[1.0, 5.0]]], &Device::flex());
/// let y = layer_norm(x, None, None, 0.0);
/// assert_eq!(y.into_data().try_to_vec::<f32>().unwrap(), [-1.0, 1.0]);
/// ```
///
/// Source: Ba et al., "Layer Normalization", 2016.
pub fn layer_norm(
    x: Tensor<3>,
    gamma: Option<Tensor<1>>,
    beta: Option<Tensor<1>>,
    eps: f64,
) -> Tensor<3> {
    #[cfg(feature = "flex")]
    if let Some(y) = flex::row_norm(&x, gamma.as_ref(), beta.as_ref(), eps, true) {
        return y;
    }
    let [.., width] = x.dims();
    let dtype = FloatDType::from(x.dtype());
    let device = x.device();
    let x = x.cast(FloatDType::F32);
    let gamma = match gamma {
        Some(gamma) => gamma.cast(FloatDType::F32),
        None => Tensor::ones([width], (&device, DType::F32)),
    };
    module::layer_norm(x, gamma, beta.map(|beta| beta.cast(FloatDType::F32)), eps).cast(dtype)
}

/// Root-mean-square normalisation over the last axis, `x / sqrt(mean(x^2) + eps) * gamma`.
///
/// # Shapes
/// - x: `[.., width]`
/// - gamma: `[width]`
/// - output: as x
///
/// # Panics
/// If `gamma` has another length.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use conceptrol_core::kernel::rms_norm;
///
/// let device = Device::flex();
/// let x = Tensor::<2>::from_data([[1.0, 7.0]], &device); // root mean square 5
/// let y = rms_norm(x, Tensor::<1>::ones([2], &device), 0.0);
/// let y = y.into_data().try_to_vec::<f32>().unwrap();
/// assert!((y[0] - 0.2).abs() < 1e-6 && (y[1] - 1.4).abs() < 1e-6);
/// ```
///
/// Source: Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019.
pub fn rms_norm<const D: usize>(x: Tensor<D>, gamma: Tensor<1>, eps: f64) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if let Some(y) = flex::row_norm(&x, Some(&gamma), None, eps, false) {
        return y;
    }
    let dtype = FloatDType::from(x.dtype());
    let x = x.cast(FloatDType::F32);
    let mean_square = x.clone().square().mean_dim(D - 1);
    let gamma = gamma.cast(FloatDType::F32).unsqueeze::<D>();
    (x / (mean_square + eps).sqrt() * gamma).cast(dtype)
}

/// Each `[batch, group]` slice shifted and scaled to mean 0 and variance 1.
fn standardised(x: Tensor<3>, eps: f64) -> Tensor<3> {
    let x = x.clone() - x.mean_dim(2);
    let variance = x.clone().square().mean_dim(2);
    x / (variance + eps).sqrt()
}
