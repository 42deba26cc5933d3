//! The FLUX transformer.

use std::time::Duration;

use burn::module::Module;
use burn::tensor::Tensor;
use conceptrol_core::models::weights::Weights;
use conceptrol_core::{AttentionError, Ground, Projected, Session, SiteId, TokenLayout};

use super::adapters::Adapters;
use super::attend::BlockContext;
use super::blocks::{Blocks, OnDisk, double_block, single_block};
use super::double_block::{DoubleBlock, Streams};
use super::embedding::TimeTextEmbedding;
use super::linear::{Stream, StreamLinear};
use super::modulation::{Modulation, modulate};
use super::reading::Reading;
use super::rotary::Rotary;
use super::single_block::{JoinedStreams, SingleBlock};
use crate::config::FluxConfig;

/// One evaluation's inputs to [`FluxTransformer::forward`].
///
/// # Shapes
/// as given for each field; `tokens` of [`rotary`](Self::rotary) and [`layout`](Self::layout) count text, latents and
/// conditions together.
#[derive(Debug)]
pub struct FluxInput<'a> {
    /// Packed latents, `[batch, latent tokens, in_channels]`, with a model that repaints what is around them behind.
    pub latents: Tensor<3>,
    /// T5 states, `[batch, text tokens, joint_attention_dim]`.
    pub text: Tensor<3>,
    /// Pooled CLIP vector, `[batch, pooled_projection_dim]`.
    pub pooled: Tensor<2>,
    /// Packed condition pictures one after the other, `[batch, condition tokens, in_channels]`.
    pub condition: Option<Tensor<3>>,
    /// Noise level in 0..=1; the model's timestep is a thousand times as much.
    pub sigma: f32,
    /// Guidance scale; only a model with [`FluxConfig::guidance_embeds`] reads it.
    pub guidance: f32,
    /// Rotations of the whole sequence `[text | latents | conditions]`.
    pub rotary: &'a Rotary,
    /// Which tokens of that sequence are which.
    pub layout: &'a TokenLayout,
}

/// The FLUX multimodal diffusion transformer: predicts the velocity of packed latents.
///
/// Text and latents pass through `num_layers` double blocks and `num_single_layers` single blocks. Condition tokens, when
/// given, travel along with the latents' weights: with a modulation of their own (noise level 0) and [adapters](Adapters) of
/// their own, or as latents ([`Reading`]). Every block makes one [`Session::attend`] call.
///
/// Mirrors `FluxTransformer2DModel` of diffusers 0.32.2.
#[derive(Module, Debug)]
pub struct FluxTransformer {
    time_text_embed: TimeTextEmbedding,
    context_embedder: StreamLinear,
    x_embedder: StreamLinear,
    /// Empty while the blocks are on disk.
    double: Vec<DoubleBlock>,
    single: Vec<SingleBlock>,
    norm_out: Modulation<2>,
    proj_out: StreamLinear,
    #[module(skip)]
    config: FluxConfig,
    #[module(skip)]
    adapters: Adapters,
    #[module(skip)]
    reading: Reading,
    /// Where the blocks come from when they are not kept in memory.
    #[module(skip)]
    disk: Option<OnDisk>,
}

impl FluxTransformer {
    /// A transformer with all its blocks in memory; `weights` is the scope of the whole model.
    pub fn new(config: &FluxConfig, weights: &Weights) -> Self {
        let mut model = Self::without_blocks(config, weights);
        model.double = (0..config.num_layers)
            .map(|index| double_block(config, weights, index))
            .collect();
        model.single = (0..config.num_single_layers)
            .map(|index| single_block(config, weights, index))
            .collect();
        model
    }

    /// A transformer that reads each block from the file while the one before it computes, and drops it afterwards.
    ///
    /// Two blocks are in memory at a time; every evaluation reads the whole file. The caller checks beforehand that the file
    /// has every tensor (the loader does).
    pub fn streamed(config: &FluxConfig, weights: &Weights) -> Self {
        Self {
            disk: Some(OnDisk::new(config, weights)),
            ..Self::without_blocks(config, weights)
        }
    }

    fn without_blocks(config: &FluxConfig, weights: &Weights) -> Self {
        let inner = config.inner_dim();
        // a thousandth of the model, through which all of it passes
        let weights = &weights.not_rounded();
        let linear =
            |name: &str, inputs, outputs| StreamLinear::new(&weights.at(name), inputs, outputs);
        Self {
            time_text_embed: TimeTextEmbedding::new(config, &weights.at("time_text_embed")),
            context_embedder: linear("context_embedder", config.joint_attention_dim, inner),
            x_embedder: linear("x_embedder", config.in_channels, inner),
            double: Vec::new(),
            single: Vec::new(),
            norm_out: Modulation::new(&weights.at("norm_out"), inner),
            proj_out: linear("proj_out", inner, config.token_channels()),
            config: config.clone(),
            adapters: Adapters::default(),
            reading: Reading::default(),
            disk: None,
        }
    }

    /// The sizes of the model.
    pub fn config(&self) -> &FluxConfig {
        &self.config
    }

    /// How long all evaluations so far have waited for blocks that were still being read: what
    /// [`streamed`](Self::streamed) costs in time. Zero where the blocks are in memory.
    pub fn waited(&self) -> Duration {
        self.disk.as_ref().map_or(Duration::ZERO, OnDisk::waited)
    }

    /// Installs additions for condition tokens in place of those installed before.
    pub fn set_adapters(&mut self, adapters: Adapters) {
        for linear in self.outer_linears() {
            adapters.attach(linear);
        }
        for block in &mut self.double {
            block
                .linears()
                .into_iter()
                .for_each(|linear| adapters.attach(linear));
        }
        for block in &mut self.single {
            block
                .linears()
                .into_iter()
                .for_each(|linear| adapters.attach(linear));
        }
        self.adapters = adapters;
    }

    /// Sets how reference pictures pass, in place of [`Reading::Finished`].
    pub fn set_reading(&mut self, reading: Reading) {
        self.reading = reading;
    }

    fn outer_linears(&mut self) -> Vec<&mut StreamLinear> {
        let mut linears = self.time_text_embed.linears();
        linears.push(&mut self.context_embedder);
        linears.push(&mut self.x_embedder);
        linears.push(self.norm_out.linear());
        linears.push(&mut self.proj_out);
        linears
    }

    /// Predicts the velocity `noise - picture` of the latents.
    ///
    /// # Shapes
    /// `[batch, latent tokens, token channels]`
    ///
    /// # Errors
    /// What a processor of the session's plan reports; [`AttentionError::Weights`] if blocks are on disk and cannot be read any
    /// more.
    ///
    /// # Panics
    /// If the tensors' shapes contradict each other or the layout.
    pub fn forward(
        &self,
        input: FluxInput<'_>,
        session: &mut Session,
    ) -> Result<Tensor<3>, AttentionError> {
        let FluxInput {
            latents,
            text,
            pooled,
            condition,
            sigma,
            guidance,
            rotary,
            layout,
        } = input;
        let latent_range = layout.latents.range.clone();
        let whole = Stream::Main(Ground::Whole);
        let stream = self.reading.stream();
        // kept by every block since the first step
        let kept = self.reading.is_kept()
            && session
                .kept(SiteId::new(0), Projected::Conditions)
                .is_some();
        let condition = condition.filter(|_| !kept);
        let mut embed = |sigma, pooled, stream| {
            (self.time_text_embed).forward(sigma, guidance, pooled, stream, session)
        };
        let vector = embed(sigma, pooled.clone(), whole);
        let cx = BlockContext {
            condition_vector: condition.as_ref().map(|_| match self.reading {
                // its own time is 0 at every step
                Reading::Finished | Reading::Independent => embed(0.0, pooled, stream),
                Reading::LikeLatents => vector.clone(),
            }),
            vector,
            reading: self.reading,
            rotary,
            layout,
        };
        let picture = Stream::Main(Ground::Latents(layout.grid()));

        let streams = Streams {
            text: (self.context_embedder).forward(text, Stream::Main(Ground::Text), session),
            latents: self.x_embedder.forward(latents, picture, session),
            condition: condition.map(|tokens| (self.x_embedder).forward(tokens, stream, session)),
        };
        let main = match &self.disk {
            None => {
                let (double, single) = (&self.double, &self.single);
                self.through(Blocks::InMemory { double, single }, streams, &cx, session)
            }
            Some(disk) => disk.pass(&self.adapters, |blocks| {
                self.through(blocks, streams, &cx, session)
            }),
        }?;

        let latents = main.narrow(1, latent_range.start, latent_range.len());
        let [scale, shift] = self.norm_out.forward(cx.vector, whole, session);
        let latents = modulate(latents, &shift, &scale);
        Ok(self.proj_out.forward(latents, picture, session))
    }

    /// All blocks; gives back text and latents as one sequence.
    fn through(
        &self,
        mut blocks: Blocks<'_>,
        mut streams: Streams,
        cx: &BlockContext<'_>,
        session: &mut Session,
    ) -> Result<Tensor<3>, AttentionError> {
        for index in 0..self.config.num_layers {
            streams = blocks.double(index)?.forward(streams, cx, session)?;
        }
        let mut streams = JoinedStreams {
            main: Tensor::cat(vec![streams.text, streams.latents], 1),
            condition: streams.condition,
        };
        for index in 0..self.config.num_single_layers {
            streams = blocks.single(index)?.forward(streams, cx, session)?;
        }
        Ok(streams.main)
    }
}
