use burn::module::Module;
use burn::tensor::Tensor;

use super::attention::MidBlock;
use super::resnet::{NORM_EPS, ResnetBlock};
use super::{AutoencoderError, AutoencoderKlConfig};
use crate::kernel;
use crate::models::nn::{Conv2d, GroupNorm};
use crate::models::weights::Weights;

/// From latents to a picture.
#[derive(Module, Debug)]
pub(super) struct Decoder {
    conv_in: Conv2d,
    mid_block: MidBlock,
    up_blocks: Vec<UpBlock>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl Decoder {
    pub(super) fn new(config: &AutoencoderKlConfig, w: &Weights) -> Self {
        let channels: Vec<usize> = config.block_out_channels.iter().rev().copied().collect();
        let (inner, outer) = (channels[0], channels[channels.len() - 1]);
        let groups = config.norm_num_groups;
        let up_blocks = (0..channels.len())
            .map(|i| {
                let (c_in, c_out) = (channels[i.saturating_sub(1)], channels[i]);
                let w = w.at("up_blocks").at(i);
                UpBlock::new(&w, config, c_in, c_out, i + 1 < channels.len())
            })
            .collect();
        Self {
            conv_in: Conv2d::new(&w.at("conv_in"), config.latent_channels, inner, 3, 1, 1),
            mid_block: MidBlock::new(
                &w.at("mid_block"),
                inner,
                groups,
                config.mid_block_add_attention,
            ),
            up_blocks,
            conv_norm_out: GroupNorm::new(&w.at("conv_norm_out"), groups, outer, NORM_EPS),
            conv_out: Conv2d::new(&w.at("conv_out"), outer, config.out_channels, 3, 1, 1),
        }
    }

    /// `[b, latent_channels, h, w] -> [b, 3, 8 h, 8 w]`
    pub(super) fn forward(&self, latents: Tensor<4>) -> Result<Tensor<4>, AutoencoderError> {
        let x = self.conv_in.forward(latents);
        let mut x = self.mid_block.forward(x)?;
        for block in &self.up_blocks {
            x = block.forward(x)?;
        }
        Ok(self.conv_out.forward(self.conv_norm_out.forward_silu(x)))
    }
}

/// One level of the decoder (`UpDecoderBlock2D`).
#[derive(Module, Debug)]
struct UpBlock {
    resnets: Vec<ResnetBlock>,
    upsampler: Option<Conv2d>,
}

impl UpBlock {
    fn new(
        w: &Weights,
        config: &AutoencoderKlConfig,
        c_in: usize,
        c_out: usize,
        upsample: bool,
    ) -> Self {
        let resnets = (0..=config.layers_per_block)
            .map(|i| {
                let c_in = if i == 0 { c_in } else { c_out };
                ResnetBlock::new(&w.at("resnets").at(i), c_in, c_out, config.norm_num_groups)
            })
            .collect();
        let w = w.at("upsamplers.0.conv");
        Self {
            resnets,
            upsampler: upsample.then(|| Conv2d::new(&w, c_out, c_out, 3, 1, 1)),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Result<Tensor<4>, AutoencoderError> {
        let x = (self.resnets.iter()).try_fold(x, |x, resnet| resnet.forward(x))?;
        Ok(match &self.upsampler {
            Some(conv) => conv.forward(kernel::upsample_nearest2x(x)),
            None => x,
        })
    }
}
