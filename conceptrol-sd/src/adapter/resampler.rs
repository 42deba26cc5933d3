use burn::module::{Module, Param};
use burn::tensor::Tensor;
use conceptrol_core::kernel;
use conceptrol_core::models::nn::{Activation, LayerNorm, Linear};
use conceptrol_core::models::weights::Weights;

/// Channels of a head in every published plus adapter.
const HEAD_DIM: usize = 64;

/// Epsilon of the layer norms (the default of `PyTorch`).
pub(super) const NORM_EPS: f64 = 1e-5;

/// Sizes of a [`Resampler`], read from the shapes of its tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResamplerConfig {
    /// Width of the latents.
    pub dim: usize,
    /// Pairs of attention and feed-forward.
    pub depth: usize,
    /// Heads of 64 channels.
    pub heads: usize,
    /// Image tokens that come out.
    pub queries: usize,
    /// Width of the image encoder's states.
    pub embedding_dim: usize,
    /// Width of the image tokens.
    pub output_dim: usize,
    /// Inner width of the feed-forward part.
    pub inner_dim: usize,
}

impl ResamplerConfig {
    /// Heads of an attention whose queries have `rows` channels.
    pub(super) fn heads_of(rows: usize) -> Option<usize> {
        (rows > 0 && rows.is_multiple_of(HEAD_DIM)).then_some(rows / HEAD_DIM)
    }
}

/// The projection of plus adapters: a few learnt latents look at all states of the image encoder.
#[derive(Module, Debug)]
pub struct Resampler {
    latents: Param<Tensor<3>>,
    perceiver: Perceiver,
}

impl Resampler {
    /// Builds the module from `image_proj` of an adapter file.
    pub fn new(config: &ResamplerConfig, w: &Weights) -> Self {
        Self {
            latents: w.tensor("latents", [1, config.queries, config.dim]),
            perceiver: Perceiver::new(config, w),
        }
    }

    /// The image tokens of pictures.
    ///
    /// # Shapes
    /// - `states`: `[pictures, tokens, embedding_dim]`, the image encoder's penultimate states
    /// - output: `[pictures, queries, output_dim]`
    pub fn forward(&self, states: Tensor<3>) -> Tensor<3> {
        let [pictures, ..] = states.dims();
        let latents = self.latents.val();
        let [_, queries, dim] = latents.dims();
        let latents = latents.expand([pictures, queries, dim]);
        self.perceiver.forward(latents, states)
    }
}

/// Layers in which latents look at the states of an image encoder.
#[derive(Module, Debug)]
pub(super) struct Perceiver {
    proj_in: Linear,
    layers: Vec<ResamplerLayer>,
    proj_out: Linear,
    norm_out: LayerNorm,
}

impl Perceiver {
    pub(super) fn new(config: &ResamplerConfig, w: &Weights) -> Self {
        let dim = config.dim;
        let layers = (0..config.depth).map(|i| ResamplerLayer::new(config, &w.at("layers").at(i)));
        Self {
            proj_in: Linear::new(&w.at("proj_in"), config.embedding_dim, dim, true),
            layers: layers.collect(),
            proj_out: Linear::new(&w.at("proj_out"), dim, config.output_dim, true),
            norm_out: LayerNorm::new(&w.at("norm_out"), config.output_dim, NORM_EPS),
        }
    }

    /// # Shapes
    /// - `latents`: `[pictures, queries, dim]`
    /// - `states`: `[pictures, tokens, embedding_dim]`
    /// - output: `[pictures, queries, output_dim]`
    pub(super) fn forward(&self, latents: Tensor<3>, states: Tensor<3>) -> Tensor<3> {
        let states = self.proj_in.forward(states);
        let latents = self
            .layers
            .iter()
            .fold(latents, |latents, layer| layer.forward(&states, latents));
        self.norm_out.forward(self.proj_out.forward(latents))
    }
}

/// `layers.N.0` (attention) and `layers.N.1` (a sequence of norm, linear, gelu, linear).
#[derive(Module, Debug)]
struct ResamplerLayer {
    norm1: LayerNorm,
    norm2: LayerNorm,
    to_q: Linear,
    to_kv: Linear,
    to_out: Linear,
    ff_norm: LayerNorm,
    ff_in: Linear,
    ff_out: Linear,
    #[module(skip)]
    heads: usize,
}

impl ResamplerLayer {
    fn new(config: &ResamplerConfig, w: &Weights) -> Self {
        let (dim, attention_dim) = (config.dim, config.heads * HEAD_DIM);
        let (attention, ff) = (w.at(0), w.at(1));
        Self {
            norm1: LayerNorm::new(&attention.at("norm1"), dim, NORM_EPS),
            norm2: LayerNorm::new(&attention.at("norm2"), dim, NORM_EPS),
            to_q: Linear::new(&attention.at("to_q"), dim, attention_dim, false),
            to_kv: Linear::new(&attention.at("to_kv"), dim, 2 * attention_dim, false),
            to_out: Linear::new(&attention.at("to_out"), attention_dim, dim, false),
            ff_norm: LayerNorm::new(&ff.at(0), dim, NORM_EPS),
            ff_in: Linear::new(&ff.at(1), dim, config.inner_dim, false),
            ff_out: Linear::new(&ff.at(3), config.inner_dim, dim, false),
            heads: config.heads,
        }
    }

    fn forward(&self, states: &Tensor<3>, latents: Tensor<3>) -> Tensor<3> {
        let latents = latents.clone() + self.attend(states.clone(), latents);
        let hidden = self.ff_in.forward(self.ff_norm.forward(latents.clone()));
        latents + self.ff_out.forward(Activation::Gelu.forward(hidden))
    }

    /// The latents look at the states and at themselves.
    fn attend(&self, states: Tensor<3>, latents: Tensor<3>) -> Tensor<3> {
        let latents = self.norm2.forward(latents);
        let q = self.to_q.forward(latents.clone());
        let keys = Tensor::cat(vec![self.norm1.forward(states), latents], 1);
        let kv = self.to_kv.forward(keys);

        let dim = q.dims()[2];
        let split = |x: Tensor<3>| {
            let [pictures, tokens, _] = x.dims();
            x.reshape([pictures, tokens, self.heads, HEAD_DIM])
                .swap_dims(1, 2) // [b, h, n, d]
        };
        let (k, v) = (kv.clone().narrow(2, 0, dim), kv.narrow(2, dim, dim));
        let out = kernel::attention(split(q), split(k), split(v), None);
        let [pictures, _, queries, _] = out.dims();
        self.to_out
            .forward(out.swap_dims(1, 2).reshape([pictures, queries, dim]))
    }
}
