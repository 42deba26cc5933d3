use std::slice;

use burn::module::Module;
use burn::tensor::Tensor;
use conceptrol_core::models::weights::Weights;
use conceptrol_core::{AttentionError, AttentionSite, Session};

use super::down::{attentions, resnets};
use super::resample::Upsample;
use super::resnet::ResnetBlock;
use super::transformer::Transformer2d;
use crate::config::{BlockConfig, UNetConfig};

/// Residual blocks that take in the skip connections, each followed by a transformer where the level attends, then
/// up-sampling: `UpBlock2D` and `CrossAttnUpBlock2D`.
#[derive(Module, Debug)]
pub(super) struct UpBlock {
    resnets: Vec<ResnetBlock>,
    attentions: Vec<Transformer2d>,
    upsampler: Option<Upsample>,
}

impl UpBlock {
    pub(super) fn new(
        config: &UNetConfig,
        block: &BlockConfig,
        sites: &mut slice::Iter<'_, AttentionSite>,
        w: &Weights,
    ) -> Self {
        Self {
            resnets: resnets(config, block, w),
            attentions: attentions(config, block, sites, w),
            upsampler: (block.resample)
                .then(|| Upsample::new(block.channels, &w.at("upsamplers").at(0))),
        }
    }

    /// Takes its skips from the end of `skips`.
    ///
    /// # Shapes
    /// - x: `[batch, channels in, height, width]`
    /// - time: `[batch or 1, embed_dim]`
    /// - context: `[batch, text_len, context_dim]`
    /// - output: `[batch, channels, height, width]` of the next block's skips
    pub(super) fn forward(
        &self,
        mut x: Tensor<4>,
        time: &Tensor<2>,
        context: &Tensor<3>,
        skips: &mut Vec<Tensor<4>>,
        session: &mut Session,
    ) -> Result<Tensor<4>, AttentionError> {
        for (index, resnet) in self.resnets.iter().enumerate() {
            let skip = skips
                .pop()
                .expect("the down blocks leave a skip for every residual block");
            x = resnet.forward(Tensor::cat(vec![x, skip], 1), time, session);
            if let Some(attention) = self.attentions.get(index) {
                x = attention.forward(x, context, session)?;
            }
        }
        if let (Some(upsampler), Some(next)) = (&self.upsampler, skips.last()) {
            let [_, _, height, width] = next.dims();
            x = upsampler.forward(x, [height, width], session);
        }
        Ok(x)
    }
}
