use burn::module::Module;
use burn::tensor::{FloatDType, Tensor};

use super::decoder::Decoder;
use super::encoder::Encoder;
use super::{AutoencoderKlConfig, Posterior, Tiling};
use crate::models::nn::Conv2d;
use crate::models::weights::Weights;

/// Why a picture or latents could not be converted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AutoencoderError {
    /// The generation that this thread computes was cancelled.
    #[error("the autoencoder was cancelled")]
    Cancelled,
    /// The number of channels is that of another model.
    #[error("{what} with {actual} channels, the autoencoder expects {expected}")]
    Channels {
        /// `picture` or `latents`.
        what: &'static str,
        /// Channels of the model.
        expected: usize,
        /// Channels given.
        actual: usize,
    },
    /// The picture is smaller than a latent cell, or there is none.
    #[error(
        "{what} of {count} x {height}x{width}, the autoencoder needs at least 1 x {smallest}x{smallest}"
    )]
    Size {
        /// `picture` or `latents`.
        what: &'static str,
        /// Pictures in the batch.
        count: usize,
        /// Height given.
        height: usize,
        /// Width given.
        width: usize,
        /// Smallest edge.
        smallest: usize,
    },
}

/// `AutoencoderKL` of diffusers: 4 or 16 latent channels, with or without the 1x1 convolutions around the latents.
///
/// Pictures have values in -1..=1. Inputs may have any float dtype; what comes out has that of the weights. The pictures of
/// a batch are converted one after the other, so that memory does not grow with the batch and a picture does not depend
/// on its neighbours.
///
/// ```
/// use burn::tensor::{Device, FloatDType, Tensor};
/// use conceptrol_core::models::autoencoder_kl::{AutoencoderKl, AutoencoderKlConfig};
/// use conceptrol_core::models::weights::Weights;
///
/// let device = Device::flex();
/// let config = r#"{ "block_out_channels": [4, 8], "norm_num_groups": 2 }"#;
/// let config = AutoencoderKlConfig::from_json(config)?;
/// let vae = AutoencoderKl::new(&config, &Weights::random(0, &device, FloatDType::F32));
///
/// let picture = Tensor::<4>::zeros([1, 3, 16, 24], &device);
/// let latents = vae.scale(vae.encode(picture, None)?.mean());
/// assert_eq!(latents.dims(), [1, 4, 8, 12]);
/// assert_eq!(vae.decode(vae.unscale(latents), None)?.dims(), [1, 3, 16, 24]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Module, Debug)]
pub struct AutoencoderKl {
    encoder: Encoder,
    decoder: Decoder,
    quant_conv: Option<Conv2d>,
    post_quant_conv: Option<Conv2d>,
    #[module(skip)]
    config: AutoencoderKlConfig,
    #[module(skip)]
    dtype: FloatDType,
}

impl AutoencoderKl {
    /// Builds the model from the root of its checkpoint.
    pub fn new(config: &AutoencoderKlConfig, w: &Weights) -> Self {
        let pointwise = |name, channels| Conv2d::new(&w.at(name), channels, channels, 1, 1, 0);
        let latent = config.latent_channels;
        Self {
            encoder: Encoder::new(config, &w.at("encoder")),
            decoder: Decoder::new(config, &w.at("decoder")),
            quant_conv: config
                .use_quant_conv
                .then(|| pointwise("quant_conv", 2 * latent)),
            post_quant_conv: config
                .use_post_quant_conv
                .then(|| pointwise("post_quant_conv", latent)),
            config: config.clone(),
            dtype: w.dtype(),
        }
    }

    /// The configuration the model was built from.
    pub fn config(&self) -> &AutoencoderKlConfig {
        &self.config
    }

    /// The distribution of the latents of pictures, not yet [scaled](Self::scale).
    ///
    /// Edges that are no multiple of the [downscale](AutoencoderKlConfig::downscale) are rounded down.
    ///
    /// # Shapes
    /// - `image`: `[batch, in_channels, height, width]`, values in -1..=1
    /// - posterior: `[batch, latent_channels, height / downscale, width / downscale]`
    ///
    /// # Errors
    /// If the number of channels is another or the picture is smaller than a latent cell.
    pub fn encode(
        &self,
        image: Tensor<4>,
        tiling: Option<&Tiling>,
    ) -> Result<Posterior, AutoencoderError> {
        let downscale = self.config.downscale();
        check("picture", image.dims(), self.config.in_channels, downscale)?;
        let [_, _, height, width] = image.dims();
        let tiles = tiling
            .map(|tiling| tiling.for_encode(downscale))
            .filter(|plan| plan.splits(height, width));
        let moments = each_image(image.cast(self.dtype), |image| match &tiles {
            Some(plan) => plan.run(&image, |tile| self.moments(tile)),
            None => self.moments(image),
        });
        Ok(Posterior::from_moments(moments?))
    }

    /// The pictures of [unscaled](Self::unscale) latents.
    ///
    /// # Shapes
    /// - `latents`: `[batch, latent_channels, height, width]`
    /// - output: `[batch, out_channels, height * downscale, width * downscale]`, values about -1..=1, not clamped
    ///
    /// # Errors
    /// If the number of channels is another or there is nothing to decode.
    pub fn decode(
        &self,
        latents: Tensor<4>,
        tiling: Option<&Tiling>,
    ) -> Result<Tensor<4>, AutoencoderError> {
        let downscale = self.config.downscale();
        check("latents", latents.dims(), self.config.latent_channels, 1)?;
        let [_, _, height, width] = latents.dims();
        let tiles = tiling
            .map(|tiling| tiling.for_decode(downscale))
            .filter(|plan| plan.splits(height, width));
        each_image(latents.cast(self.dtype), |latents| match &tiles {
            Some(plan) => plan.run(&latents, |tile| self.picture(tile)),
            None => self.picture(latents),
        })
    }

    /// From the autoencoder's latents to the denoiser's: `(latents - shift_factor) * scaling_factor`.
    ///
    /// # Shapes
    /// `latents` and output: `[batch, latent_channels, height, width]`
    pub fn scale(&self, latents: Tensor<4>) -> Tensor<4> {
        let shift = self.config.shift_factor.unwrap_or(0.0);
        latents
            .sub_scalar(shift)
            .mul_scalar(self.config.scaling_factor)
    }

    /// From the denoiser's latents to the autoencoder's: `latents / scaling_factor + shift_factor`.
    ///
    /// # Shapes
    /// `latents` and output: `[batch, latent_channels, height, width]`
    pub fn unscale(&self, latents: Tensor<4>) -> Tensor<4> {
        let shift = self.config.shift_factor.unwrap_or(0.0);
        latents
            .div_scalar(self.config.scaling_factor)
            .add_scalar(shift)
    }

    fn moments(&self, image: Tensor<4>) -> Result<Tensor<4>, AutoencoderError> {
        let moments = self.encoder.forward(image)?;
        Ok(match &self.quant_conv {
            Some(conv) => conv.forward(moments),
            None => moments,
        })
    }

    fn picture(&self, latents: Tensor<4>) -> Result<Tensor<4>, AutoencoderError> {
        let latents = match &self.post_quant_conv {
            Some(conv) => conv.forward(latents),
            None => latents,
        };
        self.decoder.forward(latents)
    }
}

fn check(
    what: &'static str,
    dims: [usize; 4],
    expected: usize,
    smallest: usize,
) -> Result<(), AutoencoderError> {
    let [count, actual, height, width] = dims;
    if actual != expected {
        return Err(AutoencoderError::Channels {
            what,
            expected,
            actual,
        });
    }
    if count == 0 || height.min(width) < smallest {
        return Err(AutoencoderError::Size {
            what,
            count,
            height,
            width,
            smallest,
        });
    }
    Ok(())
}

fn each_image(
    batch: Tensor<4>,
    each: impl Fn(Tensor<4>) -> Result<Tensor<4>, AutoencoderError>,
) -> Result<Tensor<4>, AutoencoderError> {
    let count = batch.dims()[0];
    if count == 1 {
        return each(batch);
    }
    let images = (0..count).map(|i| each(batch.clone().narrow(0, i, 1)));
    Ok(Tensor::cat(images.collect::<Result<_, _>>()?, 0))
}
