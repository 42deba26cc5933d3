use burn::module::Module;
use burn::tensor::Tensor;

use super::attention::MidBlock;
use super::resnet::{NORM_EPS, ResnetBlock};
use super::{AutoencoderError, AutoencoderKlConfig};
use crate::models::nn::{Conv2d, GroupNorm};
use crate::models::weights::Weights;

/// From a picture to the moments of its latents.
#[derive(Module, Debug)]
pub(super) struct Encoder {
    conv_in: Conv2d,
    down_blocks: Vec<DownBlock>,
    mid_block: MidBlock,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl Encoder {
    pub(super) fn new(config: &AutoencoderKlConfig, w: &Weights) -> Self {
        let channels = &config.block_out_channels;
        let (outer, inner) = (channels[0], channels[channels.len() - 1]);
        let groups = config.norm_num_groups;
        let down_blocks = (0..channels.len())
            .map(|i| {
                let (c_in, c_out) = (channels[i.saturating_sub(1)], channels[i]);
                let w = w.at("down_blocks").at(i);
                DownBlock::new(&w, config, c_in, c_out, i + 1 < channels.len())
            })
            .collect();
        Self {
            conv_in: Conv2d::new(&w.at("conv_in"), config.in_channels, outer, 3, 1, 1),
            down_blocks,
            mid_block: MidBlock::new(
                &w.at("mid_block"),
                inner,
                groups,
                config.mid_block_add_attention,
            ),
            conv_norm_out: GroupNorm::new(&w.at("conv_norm_out"), groups, inner, NORM_EPS),
            conv_out: Conv2d::new(
                &w.at("conv_out"),
                inner,
                2 * config.latent_channels,
                3,
                1,
                1,
            ),
        }
    }

    /// `[b, 3, h, w] -> [b, 2 * latent_channels, h / 8, w / 8]`, rounded down.
    pub(super) fn forward(&self, image: Tensor<4>) -> Result<Tensor<4>, AutoencoderError> {
        let mut x = self.conv_in.forward(image);
        for block in &self.down_blocks {
            x = block.forward(x)?;
        }
        let x = self.mid_block.forward(x)?;
        Ok(self.conv_out.forward(self.conv_norm_out.forward_silu(x)))
    }
}

/// One level of the encoder (`DownEncoderBlock2D`).
#[derive(Module, Debug)]
struct DownBlock {
    resnets: Vec<ResnetBlock>,
    downsampler: Option<Conv2d>,
}

impl DownBlock {
    fn new(
        w: &Weights,
        config: &AutoencoderKlConfig,
        c_in: usize,
        c_out: usize,
        downsample: bool,
    ) -> Self {
        let resnets = (0..config.layers_per_block)
            .map(|i| {
                let c_in = if i == 0 { c_in } else { c_out };
                ResnetBlock::new(&w.at("resnets").at(i), c_in, c_out, config.norm_num_groups)
            })
            .collect();
        let w = w.at("downsamplers.0.conv");
        Self {
            resnets,
            // The picture is padded below and to the right only.
            downsampler: downsample
                .then(|| Conv2d::new_asymmetric(&w, [c_out, c_out], 3, 2, [(0, 1); 2])),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Result<Tensor<4>, AutoencoderError> {
        let x = (self.resnets.iter()).try_fold(x, |x, resnet| resnet.forward(x))?;
        Ok(match &self.downsampler {
            Some(conv) => conv.forward(x),
            None => x,
        })
    }
}
