use burn::tensor::{Tensor, activation};

#[cfg(feature = "flex")]
use super::flex;

/// Sigmoid linear unit, `x * sigmoid(x)`.
///
/// # Shapes
/// any; the output has the shape of `x`
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use conceptrol_core::kernel::silu;
///
/// let x = Tensor::<1>::from_data([0.0, 30.0, -30.0], &Device::flex());
/// let y = silu(x).into_data().try_to_vec::<f32>().unwrap();
/// assert!((y[0], y[1]) == (0.0, 30.0) && y[2].abs() < 1e-9);
/// ```
///
/// Source: Elfwing et al., "Sigmoid-Weighted Linear Units", 2017.
pub fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "flex")]
    let x = match flex::map(x, flex::Silu) {
        Ok(y) => return y,
        Err(x) => x,
    };
    activation::silu(x)
}

/// Gaussian error linear unit in its exact form, `x / 2 * (1 + erf(x / sqrt(2)))`.
///
/// # Shapes
/// any; the output has the shape of `x`
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use conceptrol_core::kernel::{gelu, gelu_tanh, quick_gelu};
///
/// let x = Tensor::<1>::from_data([1.0], &Device::flex());
/// let [exact, tanh, quick] = [gelu, gelu_tanh, quick_gelu].map(|gelu| gelu(x.clone()).into_scalar::<f32>());
/// assert!((exact - 0.841345).abs() < 1e-6);
/// // The two approximations.
/// assert!((tanh - 0.841192).abs() < 1e-6 && (quick - 0.845796).abs() < 1e-6);
/// ```
///
/// Source: Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "flex")]
    let x = match flex::map(x, flex::Gelu) {
        Ok(y) => return y,
        Err(x) => x,
    };
    activation::gelu(x)
}

/// The tanh approximation of [`gelu`], `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`: `gelu_new` and
/// `gelu_pytorch_tanh` in configuration files.
///
/// # Shapes
/// any; the output has the shape of `x`
pub fn gelu_tanh<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "flex")]
    let x = match flex::map(x, flex::GeluTanh) {
        Ok(y) => return y,
        Err(x) => x,
    };
    activation::gelu_approximate(x)
}

/// The sigmoid approximation of [`gelu`], `x * sigmoid(1.702 x)`, which CLIP's text encoder was trained with.
///
/// # Shapes
/// any; the output has the shape of `x`
pub fn quick_gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "flex")]
    let x = match flex::map(x, flex::QuickGelu) {
        Ok(y) => return y,
        Err(x) => x,
    };
    x.clone() * activation::sigmoid(x * 1.702)
}

/// Gated linear unit with a [`gelu`] gate: the last axis holds the values, then the gates, as in diffusers' `GEGLU`.
///
/// # Shapes
/// - x: `[batch, tokens, 2 * width]`
/// - output: `[batch, tokens, width]`
///
/// # Panics
/// If the last axis is odd.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use conceptrol_core::kernel;
///
/// // One value, 2, gated by 0: gelu(0) = 0.
/// let x = Tensor::<3>::from_data([[[2.0, 0.0]]], &Device::flex());
/// assert_eq!(kernel::geglu(x).into_scalar::<f32>(), 0.0);
/// ```
pub fn geglu(x: Tensor<3>) -> Tensor<3> {
    let [_, _, width] = x.dims();
    assert!(
        width % 2 == 0,
        "geglu splits an even last axis, got {width}"
    );
    #[cfg(feature = "flex")]
    if let Some(y) = flex::geglu(&x) {
        return y;
    }
    let value = x.clone().narrow(2, 0, width / 2);
    let gate = x.narrow(2, width / 2, width / 2);
    value * gelu(gate)
}
