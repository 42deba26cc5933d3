//! Queries, keys and values of one token stream.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use conceptrol_core::models::weights::Weights;
use conceptrol_core::{Session, kernel};

use super::linear::{Stream, StreamLinear};
use crate::config::FluxConfig;

/// Epsilon of the query and key normalisation.
const QK_NORM_EPS: f64 = 1e-6;

/// Queries, keys and values, `[batch, tokens, heads, head_dim]` each.
#[derive(Debug, Clone)]
pub(crate) struct Qkv {
    pub(crate) q: Tensor<4>,
    pub(crate) k: Tensor<4>,
    pub(crate) v: Tensor<4>,
}

impl Qkv {
    /// The streams one after the other along the tokens.
    pub(crate) fn join(streams: Vec<Self>) -> Self {
        let (mut q, mut k, mut v) = (Vec::new(), Vec::new(), Vec::new());
        for stream in streams {
            q.push(stream.q);
            k.push(stream.k);
            v.push(stream.v);
        }
        Self {
            q: Tensor::cat(q, 1),
            k: Tensor::cat(k, 1),
            v: Tensor::cat(v, 1),
        }
    }
}

/// The projections of a stream, with RMS-normalised queries and keys.
#[derive(Module, Debug)]
pub(crate) struct Heads {
    to_q: StreamLinear,
    to_k: StreamLinear,
    to_v: StreamLinear,
    norm_q: Param<Tensor<1>>,
    norm_k: Param<Tensor<1>>,
    #[module(skip)]
    heads: usize,
}

/// Names of the parts of [`Heads`] in a checkpoint: q, k, v, query norm, key norm.
pub(crate) const LATENT_NAMES: [&str; 5] = ["to_q", "to_k", "to_v", "norm_q", "norm_k"];
/// The same for the text stream of a double block.
pub(crate) const TEXT_NAMES: [&str; 5] = [
    "add_q_proj",
    "add_k_proj",
    "add_v_proj",
    "norm_added_q",
    "norm_added_k",
];

impl Heads {
    pub(crate) fn new(config: &FluxConfig, weights: &Weights, names: [&str; 5]) -> Self {
        let inner = config.inner_dim();
        let [q, k, v, norm_q, norm_k] = names;
        let projection = |name: &str| StreamLinear::new(&weights.at(name), inner, inner);
        let norm = |name: &str| {
            weights
                .at(name)
                .tensor("weight", [config.attention_head_dim])
        };
        Self {
            to_q: projection(q),
            to_k: projection(k),
            to_v: projection(v),
            norm_q: norm(norm_q),
            norm_k: norm(norm_k),
            heads: config.num_attention_heads,
        }
    }

    /// # Shapes
    /// `x` `[batch, tokens, inner_dim]`
    pub(crate) fn forward(&self, x: Tensor<3>, stream: Stream, session: &mut Session) -> Qkv {
        let [batch, tokens, inner] = x.dims();
        let split = [batch, tokens, self.heads, inner / self.heads];
        let q = (self.to_q.forward(x.clone(), stream, session)).reshape(split); // [b, n, h, d]
        let k = (self.to_k.forward(x.clone(), stream, session)).reshape(split);
        let v = self.to_v.forward(x, stream, session).reshape(split);
        Qkv {
            q: kernel::rms_norm(q, self.norm_q.val(), QK_NORM_EPS),
            k: kernel::rms_norm(k, self.norm_k.val(), QK_NORM_EPS),
            v,
        }
    }

    pub(crate) fn linears(&mut self) -> [&mut StreamLinear; 3] {
        [&mut self.to_q, &mut self.to_k, &mut self.to_v]
    }
}
