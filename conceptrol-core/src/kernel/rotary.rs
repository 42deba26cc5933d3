use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use super::flex;

/// Rotates the pairs of channels `(2i, 2i + 1)` of every head by an angle of its token: `(a, b)` becomes
/// `(a cos - b sin, b cos + a sin)`.
///
/// # Shapes
/// - x: `[batch, tokens, heads, head_dim]`
/// - cos, sin: `[1, tokens, 1, head_dim]`, each value twice in a row
/// - output: as x
///
/// # Panics
/// If `head_dim` is odd, or tokens or head size of the tables are others.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use conceptrol_core::kernel::rotary;
///
/// let device = Device::flex();
/// let x = Tensor::<4>::from_data([[[[3.0, 4.0]]]], &device);
/// // A quarter turn.
/// let (cos, sin) = (Tensor::zeros([1, 1, 1, 2], &device), Tensor::ones([1, 1, 1, 2], &device));
/// let y = rotary(x, &cos, &sin);
/// assert_eq!(y.into_data().try_to_vec::<f32>().unwrap(), [-4.0, 3.0]);
/// ```
///
/// Source: Su et al., "Enhanced Transformer with Rotary Position Embedding", 2021, in the interleaved form.
pub fn rotary(x: Tensor<4>, cos: &Tensor<4>, sin: &Tensor<4>) -> Tensor<4> {
    let [batch, tokens, heads, head_dim] = x.dims();
    assert!(
        head_dim.is_multiple_of(2),
        "{head_dim} channels of a head do not form pairs"
    );
    assert_eq!(
        [cos.dims(), sin.dims()],
        [[1, tokens, 1, head_dim]; 2],
        "tables of {tokens} tokens and {head_dim} channels"
    );
    #[cfg(feature = "flex")]
    if let Some(y) = flex::rotary(&x, cos, sin) {
        return y;
    }
    let pairs = x.clone().reshape([batch, tokens, heads, head_dim / 2, 2]);
    let [first, second] = [0, 1].map(|place| pairs.clone().narrow(4, place, 1));
    let turned =
        Tensor::cat(vec![second.neg(), first], 4).reshape([batch, tokens, heads, head_dim]);
    x * cos.clone() + turned * sin.clone()
}
