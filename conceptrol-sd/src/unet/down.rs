use std::slice;

use burn::module::Module;
use burn::tensor::Tensor;
use conceptrol_core::models::weights::Weights;
use conceptrol_core::{AttentionError, AttentionSite, Session};

use super::resample::Downsample;
use super::resnet::ResnetBlock;
use super::transformer::Transformer2d;
use crate::config::{BlockConfig, UNetConfig};

/// Residual blocks, each followed by a transformer where the level attends, then down-sampling:
/// `DownBlock2D` and `CrossAttnDownBlock2D`.
#[derive(Module, Debug)]
pub(super) struct DownBlock {
    resnets: Vec<ResnetBlock>,
    attentions: Vec<Transformer2d>,
    downsampler: Option<Downsample>,
}

impl DownBlock {
    pub(super) fn new(
        config: &UNetConfig,
        block: &BlockConfig,
        sites: &mut slice::Iter<'_, AttentionSite>,
        w: &Weights,
    ) -> Self {
        Self {
            resnets: resnets(config, block, w),
            attentions: attentions(config, block, sites, w),
            downsampler: (block.resample)
                .then(|| Downsample::new(block.channels, &w.at("downsamplers").at(0))),
        }
    }

    /// Appends what the up blocks will need to `skips`.
    ///
    /// # Shapes
    /// - x: `[batch, channels in, height, width]`
    /// - time: `[batch or 1, embed_dim]`
    /// - context: `[batch, text_len, context_dim]`
    /// - output: `[batch, channels, height / 2, width / 2]`, rounded up, or undivided in the last block
    pub(super) fn forward(
        &self,
        mut x: Tensor<4>,
        time: &Tensor<2>,
        context: &Tensor<3>,
        skips: &mut Vec<Tensor<4>>,
        session: &mut Session,
    ) -> Result<Tensor<4>, AttentionError> {
        for (index, resnet) in self.resnets.iter().enumerate() {
            x = resnet.forward(x, time, session);
            if let Some(attention) = self.attentions.get(index) {
                x = attention.forward(x, context, session)?;
            }
            skips.push(x.clone());
        }
        if let Some(downsampler) = &self.downsampler {
            x = downsampler.forward(x, session);
            skips.push(x.clone());
        }
        Ok(x)
    }
}

/// The residual blocks of a down or up block.
pub(super) fn resnets(config: &UNetConfig, block: &BlockConfig, w: &Weights) -> Vec<ResnetBlock> {
    let w = w.at("resnets");
    (block.inputs.iter().enumerate())
        .map(|(index, &c_in)| ResnetBlock::new(config, c_in, block.channels, &w.at(index)))
        .collect()
}

/// The transformers of a down or up block, none where the level does not attend.
pub(super) fn attentions(
    config: &UNetConfig,
    block: &BlockConfig,
    sites: &mut slice::Iter<'_, AttentionSite>,
    w: &Weights,
) -> Vec<Transformer2d> {
    let w = w.at("attentions");
    let mut attentions = Vec::new();
    if let Some(transformer) = &block.transformer {
        for (index, &depth) in transformer.depths.iter().enumerate() {
            let w = w.at(index);
            attentions.push(Transformer2d::new(
                config,
                transformer,
                block.channels,
                depth,
                sites,
                &w,
            ));
        }
    }
    attentions
}
