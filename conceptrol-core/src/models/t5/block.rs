//! One block of the T5 encoder.

use crate::kernel;
use crate::models::nn::Linear;
use crate::models::weights::Weights;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::config::T5Config;
use crate::models::nn::keep_finite;

/// Self-attention and gated MLP, each on normalised states and added to them. No layer has a bias.
#[derive(Module, Debug)]
pub(crate) struct T5Block {
    attention_norm: Param<Tensor<1>>,
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    mlp_norm: Param<Tensor<1>>,
    gate: Linear,
    value: Linear,
    out: Linear,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    epsilon: f64,
}

impl T5Block {
    pub(crate) fn new(config: &T5Config, weights: &Weights) -> Self {
        let (model, inner) = (config.d_model, config.num_heads * config.d_kv);
        let attention = weights.at("layer.0");
        let heads = attention.at("SelfAttention");
        let mlp = weights.at("layer.1");
        let dense = mlp.at("DenseReluDense");
        let norm = |scope: &Weights| scope.at("layer_norm").tensor("weight", [model]);
        Self {
            attention_norm: norm(&attention),
            q: Linear::new(&heads.at("q"), model, inner, false),
            k: Linear::new(&heads.at("k"), model, inner, false),
            v: Linear::new(&heads.at("v"), model, inner, false),
            o: Linear::new(&heads.at("o"), inner, model, false),
            mlp_norm: norm(&mlp),
            gate: Linear::new(&dense.at("wi_0"), model, config.d_ff, false),
            value: Linear::new(&dense.at("wi_1"), model, config.d_ff, false),
            out: Linear::new(&dense.at("wo"), config.d_ff, model, false),
            heads: config.num_heads,
            epsilon: config.layer_norm_epsilon,
        }
    }

    /// # Shapes
    /// `states` `[batch, tokens, d_model]`; `bias` `[1, heads, tokens, tokens]`
    pub(crate) fn forward(&self, states: Tensor<3>, bias: &Tensor<4>) -> Tensor<3> {
        let normed = kernel::rms_norm(states.clone(), self.attention_norm.val(), self.epsilon);
        let states = keep_finite(states + self.attend(normed, bias));
        let normed = kernel::rms_norm(states.clone(), self.mlp_norm.val(), self.epsilon);
        let gate = kernel::gelu_tanh(self.gate.forward(normed.clone()));
        let hidden = gate * self.value.forward(normed);
        keep_finite(states + self.out.forward(hidden))
    }

    /// Attention over all tokens, padding included; the logits are not scaled by the head size.
    ///
    /// Once per prompt and for 512 tokens at most, so the probabilities are simply materialised.
    fn attend(&self, states: Tensor<3>, bias: &Tensor<4>) -> Tensor<3> {
        let [batch, tokens, _] = states.dims();
        let split = |x: Tensor<3>| {
            let head_dim = x.dims()[2] / self.heads;
            x.reshape([batch, tokens, self.heads, head_dim])
                .swap_dims(1, 2) // [b, h, n, d]
        };
        let q = split(self.q.forward(states.clone()));
        let k = split(self.k.forward(states.clone()));
        let v = split(self.v.forward(states));
        let logits = q.matmul(k.swap_dims(2, 3)) + bias.clone();
        let attended = kernel::softmax(logits).matmul(v).swap_dims(1, 2);
        let [_, _, heads, head_dim] = attended.dims();
        self.o
            .forward(attended.reshape([batch, tokens, heads * head_dim]))
    }
}
