use burn::tensor::{FloatDType, Tensor};

#[cfg(feature = "flex")]
use super::flex;

/// `x + y` of two tensors of one shape: the end of a residual branch.
///
/// # Shapes
/// - x, y, output: the same
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use conceptrol_core::kernel::add;
///
/// let x = Tensor::<1>::from_data([1.0, 2.0], &Device::flex());
/// let y = add(x.clone(), x);
/// assert_eq!(y.into_data().try_to_vec::<f32>().unwrap(), [2.0, 4.0]);
/// ```
pub fn add<const D: usize>(x: Tensor<D>, y: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "flex")]
    let x = match flex::add(x, &y) {
        Ok(sum) => return sum,
        Err(x) => x,
    };
    x + y
}

/// `x + term * weights`, a number for each token: how a gated branch joins.
///
/// # Shapes
/// - x, term: `[batch, tokens, width]`
/// - weights: `[batch or 1, tokens]`
/// - output: as x
///
/// # Panics
/// If the shapes do not fit each other.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use conceptrol_core::kernel::add_weighted;
///
/// let x = Tensor::<3>::ones([2, 3, 1], &Device::flex());
/// let weights = Tensor::<2>::from_data([[0.0, 0.5, 1.0]], &x.device());
/// let y = add_weighted(x.clone(), x, weights).narrow(0, 1, 1);
/// assert_eq!(y.into_data().try_to_vec::<f32>().unwrap(), [1.0, 1.5, 2.0]);
/// ```
pub fn add_weighted(x: Tensor<3>, term: Tensor<3>, weights: Tensor<2>) -> Tensor<3> {
    #[cfg(feature = "flex")]
    let x = match flex::add_weighted(x, &term, &weights) {
        Ok(sum) => return sum,
        Err(x) => x,
    };
    let weights = weights.cast(FloatDType::from(x.dtype()));
    x + term * weights.unsqueeze_dim(2)
}

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
