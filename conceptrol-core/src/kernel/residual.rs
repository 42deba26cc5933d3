use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use super::flex;

/// `x + branch * gate`: the end of a residual branch of an adaptive norm.
///
/// # Shapes
/// - x, branch: `[batch, tokens, width]`
/// - gate: `[batch, 1, width]`
/// - output: as x
///
/// # Panics
/// If the shapes do not fit each other.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use conceptrol_core::kernel::add_gated;
///
/// let x = Tensor::<3>::ones([1, 4, 2], &Device::flex());
/// let gate = Tensor::<3>::from_data([[[0.0, 0.5]]], &x.device());
/// let y = add_gated(x.clone(), x, &gate).narrow(1, 3, 1);
/// assert_eq!(y.into_data().try_to_vec::<f32>().unwrap(), [1.0, 1.5]);
/// ```
pub fn add_gated(x: Tensor<3>, branch: Tensor<3>, gate: &Tensor<3>) -> Tensor<3> {
    #[cfg(feature = "flex")]
    if let Some(y) = flex::add_gated(&x, &branch, gate) {
        return y;
    }
    x + branch * gate.clone()
}
