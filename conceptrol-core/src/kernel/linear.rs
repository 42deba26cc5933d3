use burn::tensor::{Tensor, module};

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
