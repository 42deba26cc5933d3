use burn::tensor::{FloatDType, Tensor, module};

use super::CompactMatrix;

/// A linear layer, `x weight^T + bias`, with the weight as checkpoints store it.
///
/// # Shapes
/// - x: `[.., d_in]`
/// - weight: `[d_out, d_in]`
/// - bias: `[d_out]`
/// - output: `[.., d_out]`
///
/// # Panics
/// If the shapes do not fit each other.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use conceptrol_core::kernel::linear;
///
/// let device = Device::flex();
/// let x = Tensor::<2>::from_data([[1.0, 2.0]], &device);
/// let weight = Tensor::<2>::from_data([[3.0, 4.0]], &device);
/// let bias = Tensor::<1>::from_data([0.5], &device);
/// assert_eq!(linear(x, weight, Some(bias)).into_scalar::<f32>(), 11.5);
/// ```
pub fn linear<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if let Some(y) = super::flex::linear(&x, &weight, bias.as_ref()) {
        return y;
    }
    // A transposed view: the matrix products of all backends take strides.
    module::linear(x, weight.transpose(), bias)
}

/// [`linear`] with a weight that takes fewer bytes than numbers of the type that is computed in.
///
/// The result has the same bits as with the weight [widened](CompactMatrix::widen) to the type of `x`. On Flex the weight is widened
/// a tile at a time and never as a whole; elsewhere, and under autodiff, it is widened as a whole for each call.
///
/// # Shapes
/// - x: `[.., d_in]`
/// - weight: `[d_out, d_in]`
/// - bias: `[d_out]`
/// - output: `[.., d_out]`
///
/// # Panics
/// If the shapes do not fit each other.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use conceptrol_core::kernel::{BlockFormat, CompactMatrix, linear_compact};
///
/// let device = Device::flex();
/// let weight = CompactMatrix::round(BlockFormat::Q8_0, [1, 32], &[1.0; 32])?;
/// let x = Tensor::<2>::ones([1, 32], &device);
/// let y = linear_compact(x, &weight, None).into_scalar::<f32>();
/// assert!((y - 32.0).abs() < 0.02);
/// # Ok::<(), conceptrol_core::kernel::CompactError>(())
/// ```
pub fn linear_compact<const D: usize>(
    x: Tensor<D>,
    weight: &CompactMatrix,
    bias: Option<Tensor<1>>,
) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if let Some(y) = super::flex::linear_compact(&x, weight, bias.as_ref()) {
        return y;
    }
    let dtype = FloatDType::from(x.dtype());
    let weight = weight.widen(&x.device(), dtype);
    linear(x, weight, bias)
}
