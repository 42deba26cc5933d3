use std::slice;

use burn::module::Module;
use burn::tensor::Tensor;
use conceptrol_core::models::weights::Weights;
use conceptrol_core::{AttentionError, AttentionSite, Session};

use super::resnet::ResnetBlock;
use super::transformer::Transformer2d;
use crate::config::{MidConfig, UNetConfig};

/// Residual block, transformer, residual block at the innermost level (`UNetMidBlock2DCrossAttn`), or one residual
/// block alone (`UNetMidBlock2D`).
#[derive(Module, Debug)]
pub(super) struct MidBlock {
    first: ResnetBlock,
    attention: Option<Transformer2d>,
    last: Option<ResnetBlock>,
}

impl MidBlock {
    pub(super) fn new(
        config: &UNetConfig,
        block: &MidConfig,
        sites: &mut slice::Iter<'_, AttentionSite>,
        w: &Weights,
    ) -> Self {
        let resnet = |index: usize| {
            ResnetBlock::new(
                config,
                block.channels,
                block.channels,
                &w.at("resnets").at(index),
            )
        };
        let first = resnet(0);
        let attention = block.transformer.as_ref().map(|transformer| {
            let w = w.at("attentions").at(0);
            Transformer2d::new(
                config,
                transformer,
                block.channels,
                transformer.depths[0],
                sites,
                &w,
            )
        });
        let last = attention.is_some().then(|| resnet(1));
        Self {
            first,
            attention,
            last,
        }
    }

    /// # Shapes
    /// - x: `[batch, channels, height, width]`
    /// - time: `[batch or 1, embed_dim]`
    /// - context: `[batch, text_len, context_dim]`
    /// - output: as x
    pub(super) fn forward(
        &self,
        x: Tensor<4>,
        time: &Tensor<2>,
        context: &Tensor<3>,
        session: &mut Session,
    ) -> Result<Tensor<4>, AttentionError> {
        let mut x = self.first.forward(x, time, session);
        if let Some(attention) = &self.attention {
            x = attention.forward(x, context, session)?;
        }
        if let Some(last) = &self.last {
            x = last.forward(x, time, session);
        }
        Ok(x)
    }
}
