use burn::tensor::{Device, Tensor, module, ops::AttentionModuleOptions};

use super::{LogitBias, augment};

/// Scaled dot-product attention, `softmax(q k^T / sqrt(head_dim) + bias) v`, without ever holding a score matrix of a whole
/// head.
///
/// The bias stays in its structured form: no `[q_len, k_len]` tensor is built on any backend.
///
/// # Shapes
/// - q: `[batch, heads, q_len, head_dim]`
/// - k: `[batch, heads, k_len, head_dim]`
/// - v: `[batch, heads, k_len, value_dim]`
/// - bias: see [`LogitBias`]; shared by all heads
/// - output: `[batch, heads, q_len, value_dim]`
///
/// # Panics
/// If the shapes do not fit each other, or a key range of the bias ends beyond `k_len`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use conceptrol_core::kernel::{LogitBias, attention};
///
/// let device = Device::flex();
/// let q = Tensor::<4>::zeros([1, 1, 1, 8], &device);
/// let k = Tensor::<4>::zeros([1, 1, 2, 8], &device);
/// let v = Tensor::<4>::from_data([[[[1.0], [3.0]]]], &device);
///
/// // Without a bias both keys weigh the same; with the second one blocked only the first is left.
/// assert_eq!(attention(q.clone(), k.clone(), v.clone(), None).into_scalar::<f32>(), 2.0);
/// let rows = Tensor::<3>::full([1, 1, 1], LogitBias::BLOCKED, &device);
/// let bias = LogitBias::new(vec![1..2], rows);
/// assert_eq!(attention(q, k, v, Some(&bias)).into_scalar::<f32>(), 1.0);
/// ```
pub fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, bias: Option<&LogitBias>) -> Tensor<4> {
    if let Some(bias) = bias {
        let ([batch, _, q_len, _], [_, _, k_len, _]) = (q.dims(), k.dims());
        bias.check(batch, q_len, k_len);
    }
    #[cfg(feature = "flex")]
    if let Some(out) = super::flex::attention(&q, &k, &v, bias) {
        return out;
    }
    let [.., value_dim] = v.dims();
    // The flash kernels of the GPU backends want head dimensions in whole tiles: SD1.5's 40 would fall back to a
    // materialised score matrix. Gradients need the matrix anyway.
    let device = q.device();
    let step = if on_flex(&device) || device.is_autodiff() {
        1
    } else {
        16
    };
    let (q, k, v) = augment::augment(q, k, v, bias, step);
    let out = module::attention(q, k, v, None, None, AttentionModuleOptions::default());
    if out.dims()[3] == value_dim {
        out
    } else {
        out.narrow(3, 0, value_dim)
    }
}

/// Whether `device` is the CPU backend Flex, without autodiff around it.
pub(crate) fn on_flex(device: &Device) -> bool {
    #[cfg(feature = "flex")]
    return matches!(device.as_dispatch(), burn::backend::DispatchDevice::Flex(_));
    #[cfg(not(feature = "flex"))]
    {
        let _ = device;
        false
    }
}
