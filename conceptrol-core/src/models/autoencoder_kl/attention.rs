use burn::module::Module;
use burn::tensor::Tensor;

use super::AutoencoderError;
use super::resnet::{NORM_EPS, ResnetBlock};
use crate::kernel;
use crate::models::nn::{GroupNorm, Linear};
use crate::models::weights::Weights;

/// Scores of one chunk of queries: 2^24 f32 are 64 MiB. A 1024x1024 picture has 2^28 scores.
const MAX_SCORES: usize = 1 << 24;

/// What `AttentionBlock` called its projections before `Attention` replaced it.
pub(super) const OLD_NAMES: [(&str, &str); 4] = [
    ("to_q", "query"),
    ("to_k", "key"),
    ("to_v", "value"),
    ("to_out.0", "proj_attn"),
];

/// The innermost block: attention between two residual blocks.
#[derive(Module, Debug)]
pub(super) struct MidBlock {
    first: ResnetBlock,
    attention: Option<SpatialAttention>,
    second: ResnetBlock,
}

impl MidBlock {
    pub(super) fn new(w: &Weights, channels: usize, groups: usize, attention: bool) -> Self {
        let resnet =
            |i: usize| ResnetBlock::new(&w.at("resnets").at(i), channels, channels, groups);
        Self {
            first: resnet(0),
            attention: attention
                .then(|| SpatialAttention::new(&w.at("attentions").at(0), channels, groups)),
            second: resnet(1),
        }
    }

    /// `x: [b, c, h, w] -> [b, c, h, w]`
    pub(super) fn forward(&self, x: Tensor<4>) -> Result<Tensor<4>, AutoencoderError> {
        let x = self.first.forward(x)?;
        let x = match &self.attention {
            Some(attention) => attention.forward(x),
            None => x,
        };
        self.second.forward(x)
    }
}

/// Attention over all cells with a single head as wide as the block.
#[derive(Module, Debug)]
struct SpatialAttention {
    group_norm: GroupNorm,
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Linear,
}

impl SpatialAttention {
    fn new(w: &Weights, channels: usize, groups: usize) -> Self {
        for (name, old) in OLD_NAMES {
            w.alias(name, old);
        }
        let linear = |name| Linear::new(&w.at(name), channels, channels, true);
        Self {
            group_norm: GroupNorm::new(&w.at("group_norm"), groups, channels, NORM_EPS),
            to_q: linear("to_q"),
            to_k: linear("to_k"),
            to_v: linear("to_v"),
            to_out: linear("to_out.0"),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        let cells = height * width;
        let tokens = self
            .group_norm
            .forward(x.clone())
            .reshape([batch, channels, cells])
            .swap_dims(1, 2); // [b, n, c]
        let head = |x: Tensor<3>| x.reshape([batch, 1, cells, channels]);
        let q = head(self.to_q.forward(tokens.clone()));
        let k = head(self.to_k.forward(tokens.clone()));
        let v = head(self.to_v.forward(tokens));
        let out = chunked_attention(q, &k, &v, MAX_SCORES).reshape([batch, cells, channels]);
        let out = self.to_out.forward(out).swap_dims(1, 2);
        kernel::add(out.reshape([batch, channels, height, width]), x)
    }
}

/// Attention in chunks of queries, so that whatever a backend does for a wide single head, at most `max_scores`
/// scores exist at once.
fn chunked_attention(q: Tensor<4>, k: &Tensor<4>, v: &Tensor<4>, max_scores: usize) -> Tensor<4> {
    let [batch, heads, queries, _] = q.dims();
    let keys = k.dims()[2];
    let chunk = (max_scores / (batch * heads * keys)).max(1);
    if chunk >= queries {
        return kernel::attention(q, k.clone(), v.clone(), None);
    }
    let chunks = (0..queries).step_by(chunk).map(|start| {
        let q = q.clone().narrow(2, start, chunk.min(queries - start));
        kernel::attention(q, k.clone(), v.clone(), None)
    });
    Tensor::cat(chunks.collect(), 2)
}

#[cfg(test)]
mod tests {
    use super::chunked_attention;
    use burn::tensor::{DType, Device, Tensor, TensorData};

    fn waves(rows: usize, phase: f32, device: &Device) -> Tensor<4> {
        let values: Vec<f32> = (0..rows * 8)
            .map(|i| (i as f32 * 0.37 + phase).sin())
            .collect();
        Tensor::from_data(
            TensorData::new(values, [1, 1, rows, 8]),
            (device, DType::F32),
        )
    }

    #[test]
    fn chunks_do_not_change_the_result() {
        let device = Device::flex();
        let (q, k, v) = (
            waves(13, 0.0, &device),
            waves(13, 1.0, &device),
            waves(13, 2.0, &device),
        );
        let whole = chunked_attention(q.clone(), &k, &v, usize::MAX);
        let parts = chunked_attention(q, &k, &v, 13 * 5);
        let diff = (whole - parts).abs().max().into_scalar::<f32>();
        assert!(diff < 1e-6, "chunks differ by {diff}");
    }
}
