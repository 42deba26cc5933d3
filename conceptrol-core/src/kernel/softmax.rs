use burn::tensor::{FloatDType, Tensor, activation};

/// Softmax over the last axis, computed in `f32`.
///
/// # Shapes
/// - x: `[.., width]`, natural logarithms
/// - output: as x; rows sum to one
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use conceptrol_core::kernel::softmax;
///
/// let x = Tensor::<2>::from_data([[0.0, 3.0f32.ln()]], &Device::flex());
/// let y = softmax(x).into_data().try_to_vec::<f32>().unwrap();
/// assert!((y[0] - 0.25).abs() < 1e-6 && (y[1] - 0.75).abs() < 1e-6);
/// ```
pub fn softmax<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if let Some(y) = super::flex::softmax(&x) {
        return y;
    }
    let dtype = FloatDType::from(x.dtype());
    activation::softmax(x.cast(FloatDType::F32), D - 1).cast(dtype)
}
