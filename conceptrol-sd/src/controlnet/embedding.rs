use burn::module::Module;
use burn::tensor::{FloatDType, Tensor};
use conceptrol_core::models::nn::{Activation, Conv2d};
use conceptrol_core::models::weights::Weights;

use crate::config::ControlNetConfig;

/// What a `ControlNet` makes of its picture, once a generation: convolutions with `SiLU`, each level after the first halving the
/// sides (diffusers' `ControlNetConditioningEmbedding`).
#[derive(Module, Debug)]
pub struct PictureEmbedding {
    conv_in: Conv2d,
    /// Two for each level but the last.
    blocks: Vec<Conv2d>,
    conv_out: Conv2d,
    bgr: bool,
    #[module(skip)]
    dtype: FloatDType,
}

impl PictureEmbedding {
    /// Takes the tensors of the model from `w`, the scope of the whole `ControlNet`.
    pub fn new(config: &ControlNetConfig, w: &Weights) -> Self {
        let w = w.at("controlnet_cond_embedding");
        let channels = &config.embedding_channels;
        let (first, last) = (channels[0], channels[channels.len() - 1]);
        let blocks = w.at("blocks");
        let pairs = channels.windows(2).enumerate();
        let convs = pairs.flat_map(|(level, pair)| {
            let (index, [c_in, c_out]) = (2 * level, [pair[0], pair[1]]);
            [
                Conv2d::new(&blocks.at(index), c_in, c_in, 3, 1, 1),
                Conv2d::new(&blocks.at(index + 1), c_in, c_out, 3, 2, 1),
            ]
        });
        Self {
            conv_in: Conv2d::new(&w.at("conv_in"), config.picture_channels, first, 3, 1, 1),
            blocks: convs.collect(),
            conv_out: Conv2d::new(
                &w.at("conv_out"),
                last,
                config.encoder.time.sinusoid_dim,
                3,
                1,
                1,
            ),
            bgr: config.bgr,
            dtype: w.dtype(),
        }
    }

    /// The embedding of control pictures.
    ///
    /// # Shapes
    ///
    /// - `pixels`: `[pictures, 3, height, width]`, red first, values in 0..=1
    /// - output: `[pictures, channels, height / downscale, width / downscale]`
    pub fn forward(&self, pixels: Tensor<4>) -> Tensor<4> {
        let pixels = match self.bgr {
            true => pixels.flip([1]),
            false => pixels,
        };
        let silu = |x| Activation::Silu.forward(x);
        let x = silu(self.conv_in.forward(pixels.cast(self.dtype)));
        let x = (self.blocks.iter()).fold(x, |x, conv| silu(conv.forward(x)));
        self.conv_out.forward(x)
    }
}
