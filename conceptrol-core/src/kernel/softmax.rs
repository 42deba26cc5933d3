use burn::tensor::{FloatDType, Tensor, activation};

/// Softmax over the last axis, computed in `f32`.
///
/// # Shapes
/// - x: `[.., width]`, natural logarithms
/// - output: as x; rows sum to one
pub fn softmax<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if let Some(y) = super::flex::softmax(&x) {
        return y;
    }
    let dtype = FloatDType::from(x.dtype());
    activation::softmax(x.cast(FloatDType::F32), D - 1).cast(dtype)
}
