use burn::tensor::{FloatDType, Tensor, activation};

/// The most scores computed at once: 16 MB in `f32`.
const SCORES_AT_ONCE: usize = 1 << 22;

/// Where each text token acts: the probability each query gives to each text key, averaged over heads,
/// `mean over heads of softmax(q k_text^T / sqrt(head_dim))`.
///
/// In joint attention the ratio between text keys does not depend on the other keys, so this is the text part of the joint
/// attention map, normalised over the text; in cross-attention it is the attention map itself. Queries are processed in chunks:
/// the scores of a whole site never exist at once.
///
/// # Shapes
/// - q: `[rows, heads, q_len, head_dim]`
/// - `k_text`: `[rows, heads, text_len, head_dim]`
/// - output: `[rows, q_len, text_len]`, probabilities in `f32`; they sum to one over `text_len`
///
/// # Panics
/// If the shapes do not fit each other.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use conceptrol_core::kernel::text_map;
///
/// let device = Device::flex();
/// let q = Tensor::<4>::ones([1, 2, 3, 8], &device);
/// let k = Tensor::<4>::ones([1, 2, 4, 8], &device);
/// let map = text_map(q, k); // equal keys share alike
/// assert_eq!(map.dims(), [1, 3, 4]);
/// assert_eq!(map.into_data().try_to_vec::<f32>().unwrap(), vec![0.25; 12]);
/// ```
pub fn text_map(q: Tensor<4>, k_text: Tensor<4>) -> Tensor<3> {
    #[cfg(feature = "flex")]
    if let Some(map) = super::flex::text_map(&q, &k_text) {
        return map;
    }
    let [rows, heads, q_len, head_dim] = q.dims();
    let [.., text_len, _] = k_text.dims();
    let keys = k_text.cast(FloatDType::F32).swap_dims(2, 3) / (head_dim as f64).sqrt(); // [rows, heads, head_dim, text_len]
    let chunk = (SCORES_AT_ONCE / (rows * heads * text_len).max(1)).clamp(1, q_len.max(1));
    let maps = (0..q_len).step_by(chunk).map(|start| {
        let q = q
            .clone()
            .narrow(2, start, chunk.min(q_len - start))
            .cast(FloatDType::F32);
        let probabilities = activation::softmax(q.matmul(keys.clone()), 3);
        probabilities.mean_dim(1).squeeze_dim(1) // [rows, chunk, text_len]
    });
    Tensor::cat(maps.collect(), 1)
}
