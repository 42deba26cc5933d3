use std::slice;

use burn::module::Module;
use burn::tensor::Tensor;
use conceptrol_core::kernel;
use conceptrol_core::models::nn::{GroupNorm, LayerNorm};
use conceptrol_core::models::weights::Weights;
use conceptrol_core::{AttentionError, AttentionSite, Grid, Session};

use super::attention::Attention;
use super::feed_forward::FeedForward;
use super::projection::Projection;
use crate::config::{TransformerConfig, UNetConfig};

/// Epsilon of the group norm in front of the tokens; diffusers fixes it, whatever `norm_eps` says.
const GROUP_NORM_EPS: f64 = 1e-6;
/// Epsilon of the layer norms, torch's default.
const LAYER_NORM_EPS: f64 = 1e-5;

/// Pixels to tokens, transformer blocks, tokens to pixels, and a shortcut: diffusers' `Transformer2DModel`.
#[derive(Module, Debug)]
pub(super) struct Transformer2d {
    norm: GroupNorm,
    proj_in: Projection,
    transformer_blocks: Vec<TransformerBlock>,
    proj_out: Projection,
}

impl Transformer2d {
    /// `depth` transformer blocks on `channels` channels; takes two of `sites` for each.
    pub(super) fn new(
        config: &UNetConfig,
        transformer: &TransformerConfig,
        channels: usize,
        depth: usize,
        sites: &mut slice::Iter<'_, AttentionSite>,
        w: &Weights,
    ) -> Self {
        let inner = transformer.inner_dim();
        let linear = config.linear_projection;
        let blocks = w.at("transformer_blocks");
        Self {
            norm: GroupNorm::new(&w.at("norm"), config.norm_groups, channels, GROUP_NORM_EPS),
            proj_in: Projection::new(linear, channels, inner, &w.at("proj_in")),
            transformer_blocks: (0..depth)
                .map(|index| {
                    TransformerBlock::new(inner, transformer.context_dim, sites, &blocks.at(index))
                })
                .collect(),
            proj_out: Projection::new(linear, inner, channels, &w.at("proj_out")),
        }
    }

    /// # Shapes
    /// - x: `[batch, channels, height, width]`
    /// - context: `[batch, text_len, context_dim]`
    /// - output: as x
    pub(super) fn forward(
        &self,
        x: Tensor<4>,
        context: &Tensor<3>,
        session: &mut Session,
    ) -> Result<Tensor<4>, AttentionError> {
        let [_, _, height, width] = x.dims();
        let grid = Grid::new(height, width);
        let mut tokens = (self.proj_in).tokens(self.norm.forward(x.clone()), session);
        for block in &self.transformer_blocks {
            tokens = block.forward(tokens, context, grid, session)?;
        }
        Ok(kernel::add(self.proj_out.pixels(tokens, grid, session), x))
    }
}

/// Self-attention, cross-attention and feed-forward network, each on normalised tokens and with a shortcut:
/// diffusers' `BasicTransformerBlock`.
#[derive(Module, Debug)]
struct TransformerBlock {
    norm1: LayerNorm,
    attn1: Attention,
    norm2: LayerNorm,
    attn2: Attention,
    norm3: LayerNorm,
    ff: FeedForward,
}

impl TransformerBlock {
    fn new(
        dim: usize,
        context_dim: usize,
        sites: &mut slice::Iter<'_, AttentionSite>,
        w: &Weights,
    ) -> Self {
        let norm = |name| LayerNorm::new(&w.at(name), dim, LAYER_NORM_EPS);
        Self {
            norm1: norm("norm1"),
            attn1: Attention::new(dim, context_dim, sites, &w.at("attn1")),
            norm2: norm("norm2"),
            attn2: Attention::new(dim, context_dim, sites, &w.at("attn2")),
            norm3: norm("norm3"),
            ff: FeedForward::new(dim, &w.at("ff")),
        }
    }

    /// # Shapes
    /// - x: `[batch, cells of the grid, dim]`
    /// - output: as x
    fn forward(
        &self,
        x: Tensor<3>,
        context: &Tensor<3>,
        grid: Grid,
        session: &mut Session,
    ) -> Result<Tensor<3>, AttentionError> {
        let normal = self.norm1.forward(x.clone());
        let x = kernel::add(self.attn1.forward(normal, context, grid, session)?, x);
        let normal = self.norm2.forward(x.clone());
        let x = kernel::add(self.attn2.forward(normal, context, grid, session)?, x);
        let normal = self.norm3.forward(x.clone());
        Ok(kernel::add(self.ff.forward(normal, grid, session), x))
    }
}
