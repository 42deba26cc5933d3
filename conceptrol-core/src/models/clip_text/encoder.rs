use burn::module::Module;
use burn::tensor::{DType, FloatDType, Tensor, TensorData};

use crate::kernel;
use crate::models::config::{ConfigError, Fields};
use crate::models::nn::{Activation, LayerNorm, Linear};
use crate::models::weights::Weights;

/// Added to the logit of a key that lies in the query's future; the logits are f32.
const FUTURE: f32 = -1e9;

/// Sizes of a CLIP transformer, text or vision.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipEncoderConfig {
    /// Width of the transformer.
    pub hidden_size: usize,
    /// Inner width of the feed-forward part.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Number of heads.
    pub num_attention_heads: usize,
    /// Activation of the feed-forward part.
    pub hidden_act: Activation,
    /// Epsilon of the layer norms.
    pub layer_norm_eps: f64,
}

impl ClipEncoderConfig {
    /// Reads the fields, which all must be there but the last two: those have the defaults of `transformers`.
    ///
    /// # Errors
    /// Names the first field that is absent or out of range.
    pub fn from_fields(fields: &Fields) -> Result<Self, ConfigError> {
        let hidden_size = fields.size("hidden_size", 1..=1 << 16)?;
        let num_attention_heads = fields.size("num_attention_heads", 1..=hidden_size)?;
        if !hidden_size.is_multiple_of(num_attention_heads) {
            let expected = format!("a divisor of hidden_size {hidden_size}");
            return Err(fields.error("num_attention_heads", expected));
        }
        let layer_norm_eps = fields.number_or("layer_norm_eps", 1e-5)?;
        if layer_norm_eps < 0.0 {
            return Err(fields.error("layer_norm_eps", "0 or above"));
        }
        Ok(Self {
            hidden_size,
            intermediate_size: fields.size("intermediate_size", 1..=1 << 18)?,
            num_hidden_layers: fields.size("num_hidden_layers", 1..=1 << 10)?,
            num_attention_heads,
            hidden_act: fields.choice_or("hidden_act", Activation::QuickGelu)?,
            layer_norm_eps,
        })
    }
}

/// The pre-norm transformer both CLIP towers are made of.
#[derive(Module, Debug)]
pub struct ClipEncoder {
    layers: Vec<ClipEncoderLayer>,
}

impl ClipEncoder {
    /// Builds the layers from `layers.N` below `w`.
    pub fn new(config: &ClipEncoderConfig, w: &Weights) -> Self {
        let w = w.at("layers");
        let layers = (0..config.num_hidden_layers)
            .map(|i| ClipEncoderLayer::new(config, &w.at(i)))
            .collect();
        Self { layers }
    }

    /// The layers, in order.
    pub fn layers(&self) -> &[ClipEncoderLayer] {
        &self.layers
    }

    /// Runs all layers and keeps what goes into and comes out of each: `num_hidden_layers + 1` states, the input first.
    ///
    /// # Shapes
    /// `x` and every state: `[batch, tokens, hidden_size]`
    pub fn hidden_states(&self, x: Tensor<3>, causal: bool) -> Vec<Tensor<3>> {
        let mut states = Vec::with_capacity(self.layers.len() + 1);
        states.push(x.clone());
        let mut x = x;
        for layer in &self.layers {
            x = layer.forward(x, causal);
            states.push(x.clone());
        }
        states
    }
}

/// One layer: attention and feed-forward, each behind a layer norm and beside a residual.
#[derive(Module, Debug)]
pub struct ClipEncoderLayer {
    layer_norm1: LayerNorm,
    self_attn: ClipAttention,
    layer_norm2: LayerNorm,
    mlp: ClipMlp,
}

impl ClipEncoderLayer {
    fn new(config: &ClipEncoderConfig, w: &Weights) -> Self {
        let (dim, eps) = (config.hidden_size, config.layer_norm_eps);
        Self {
            layer_norm1: LayerNorm::new(&w.at("layer_norm1"), dim, eps),
            self_attn: ClipAttention::new(config, &w.at("self_attn")),
            layer_norm2: LayerNorm::new(&w.at("layer_norm2"), dim, eps),
            mlp: ClipMlp::new(config, &w.at("mlp")),
        }
    }

    /// Runs the layer; with `causal` a token sees itself and what is before it.
    ///
    /// # Shapes
    /// `x` and output: `[batch, tokens, hidden_size]`
    pub fn forward(&self, x: Tensor<3>, causal: bool) -> Tensor<3> {
        let attended = self
            .self_attn
            .forward(self.layer_norm1.forward(x.clone()), causal);
        let x = x + attended;
        let fed = self.mlp.forward(self.layer_norm2.forward(x.clone()));
        x + fed
    }
}

#[derive(Module, Debug)]
struct ClipAttention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    out_proj: Linear,
    #[module(skip)]
    heads: usize,
}

impl ClipAttention {
    fn new(config: &ClipEncoderConfig, w: &Weights) -> Self {
        let dim = config.hidden_size;
        let linear = |name| Linear::new(&w.at(name), dim, dim, true);
        Self {
            q_proj: linear("q_proj"),
            k_proj: linear("k_proj"),
            v_proj: linear("v_proj"),
            out_proj: linear("out_proj"),
            heads: config.num_attention_heads,
        }
    }

    fn forward(&self, x: Tensor<3>, causal: bool) -> Tensor<3> {
        let [batch, tokens, dim] = x.dims();
        let split = |x: Tensor<3>| {
            x.reshape([batch, tokens, self.heads, dim / self.heads])
                .swap_dims(1, 2) // [b, h, n, d]
        };
        let q = split(self.q_proj.forward(x.clone()));
        let k = split(self.k_proj.forward(x.clone()));
        let v = split(self.v_proj.forward(x));
        let out = if causal {
            causal_attention(q, k, v)
        } else {
            kernel::attention(q, k, v, None)
        };
        let out = out.swap_dims(1, 2).reshape([batch, tokens, dim]);
        self.out_proj.forward(out)
    }
}

/// Plain masked attention: a prompt has 77 tokens, the score matrix is small.
fn causal_attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>) -> Tensor<4> {
    let [_, _, tokens, head_dim] = q.dims();
    let dtype = q.dtype();
    let mask: Vec<f32> = (0..tokens * tokens)
        .map(|i| if i % tokens > i / tokens { FUTURE } else { 0.0 })
        .collect();
    let mask = TensorData::new(mask, [1, 1, tokens, tokens]);
    let mask = Tensor::<4>::from_data(mask, (&q.device(), DType::F32));

    let scale = (head_dim as f64).powf(-0.5);
    let q = q.cast(FloatDType::F32).mul_scalar(scale);
    let scores = q.matmul(k.cast(FloatDType::F32).swap_dims(2, 3)) + mask; // [b, h, n, n]
    kernel::softmax(scores).cast(dtype).matmul(v)
}

/// The feed-forward part.
#[derive(Module, Debug)]
pub(in crate::models) struct ClipMlp {
    fc1: Linear,
    fc2: Linear,
    #[module(skip)]
    activation: Activation,
}

impl ClipMlp {
    pub(in crate::models) fn new(config: &ClipEncoderConfig, w: &Weights) -> Self {
        let (dim, inner) = (config.hidden_size, config.intermediate_size);
        Self {
            fc1: Linear::new(&w.at("fc1"), dim, inner, true),
            fc2: Linear::new(&w.at("fc2"), inner, dim, true),
            activation: config.hidden_act,
        }
    }

    pub(in crate::models) fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.fc2
            .forward(self.activation.forward(self.fc1.forward(x)))
    }
}
