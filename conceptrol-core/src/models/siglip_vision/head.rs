//! The head that pools a picture's states into one.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::kernel;
use crate::models::clip_text::{ClipEncoderConfig, ClipMlp};
use crate::models::nn::{LayerNorm, Linear};
use crate::models::weights::Weights;

/// A learnt query that attends to all states, then a feed-forward part (`SiglipMultiheadAttentionPoolingHead`).
#[derive(Module, Debug)]
pub(super) struct PoolingHead {
    /// `[1, 1, dim]`
    probe: Param<Tensor<3>>,
    /// Queries, keys and values one below the other, `[3 * dim, dim]`, as torch's `MultiheadAttention` stores them.
    in_proj_weight: Param<Tensor<2>>,
    /// `[3 * dim]`
    in_proj_bias: Param<Tensor<1>>,
    out_proj: Linear,
    layernorm: LayerNorm,
    mlp: ClipMlp,
    #[module(skip)]
    heads: usize,
}

impl PoolingHead {
    /// The head in the scope `w`.
    pub(super) fn new(config: &ClipEncoderConfig, w: &Weights) -> Self {
        let dim = config.hidden_size;
        let attention = w.at("attention");
        Self {
            probe: w.tensor("probe", [1, 1, dim]),
            in_proj_weight: attention.tensor("in_proj_weight", [3 * dim, dim]),
            in_proj_bias: attention.tensor("in_proj_bias", [3 * dim]),
            out_proj: Linear::new(&attention.at("out_proj"), dim, dim, true),
            layernorm: LayerNorm::new(&w.at("layernorm"), dim, config.layer_norm_eps),
            mlp: ClipMlp::new(config, &w.at("mlp")),
            heads: config.num_attention_heads,
        }
    }

    /// # Shapes
    /// `states` `[pictures, tokens, dim]` -> `[pictures, dim]`
    pub(super) fn forward(&self, states: Tensor<3>) -> Tensor<2> {
        let [pictures, _, dim] = states.dims();
        let probe = self.probe.val().repeat_dim(0, pictures);
        let split = |x: Tensor<3>, part: usize| {
            let weight = self.in_proj_weight.val().narrow(0, part * dim, dim);
            let bias = self.in_proj_bias.val().narrow(0, part * dim, dim);
            let x = kernel::linear(x, weight, Some(bias));
            let [pictures, tokens, _] = x.dims();
            x.reshape([pictures, tokens, self.heads, dim / self.heads])
                .swap_dims(1, 2) // [n, h, tokens, d]
        };
        let (query, key) = (split(probe, 0), split(states.clone(), 1));
        let pooled = kernel::attention(query, key, split(states, 2), None);
        let pooled = pooled.swap_dims(1, 2).reshape([pictures, 1, dim]);
        let pooled = self.out_proj.forward(pooled);
        let fed = self.mlp.forward(self.layernorm.forward(pooled.clone()));
        (pooled + fed).squeeze_dim(1)
    }
}
