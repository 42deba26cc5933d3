use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use super::flex;

/// `x + branch * gate`: the end of a residual branch of an adaptive norm.
///
/// # Shapes
/// - x, branch: `[batch, tokens, width]`
/// - gate: `[batch, 1, width]`
/// - output: as x
pub fn add_gated(x: Tensor<3>, branch: Tensor<3>, gate: &Tensor<3>) -> Tensor<3> {
    #[cfg(feature = "flex")]
    if let Some(y) = flex::add_gated(&x, &branch, gate) {
        return y;
    }
    x + branch * gate.clone()
}
