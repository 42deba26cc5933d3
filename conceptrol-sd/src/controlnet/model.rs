use burn::module::Module;
use burn::tensor::Tensor;
use conceptrol_core::models::nn::Conv2d;
use conceptrol_core::models::weights::Weights;
use conceptrol_core::{AttentionSites, Session};

use super::PictureEmbedding;
use crate::config::ControlNetConfig;
use crate::sites::attention_sites;
use crate::unet::{AddedConditions, Encoder, Input, Residuals, Timesteps, UNetError};

/// A `ControlNet`: the UNet's down half and middle with a picture added to its latents, and a 1x1 convolution at each skip
/// connection and behind the middle, which were zeros when its training began.
///
/// ```
/// use burn::tensor::{Device, FloatDType};
/// use conceptrol_core::models::weights::Weights;
/// use conceptrol_sd::{config::{ControlNetConfig, UNetConfig}, controlnet::ControlNetModel};
///
/// // the tensors of a ControlNet for SD1.5
/// let names = Weights::names(&Device::flex());
/// ControlNetModel::new(&ControlNetConfig::for_unet(UNetConfig::sd15()), &names);
/// assert_eq!(names.finish()?.len(), 340);
/// # Ok::<(), conceptrol_core::models::weights::WeightError>(())
/// ```
#[derive(Module, Debug)]
pub struct ControlNetModel {
    encoder: Encoder,
    controlnet_cond_embedding: PictureEmbedding,
    controlnet_down_blocks: Vec<Conv2d>,
    controlnet_mid_block: Conv2d,
    #[module(skip)]
    config: ControlNetConfig,
}

impl ControlNetModel {
    /// Takes the tensors of the model from `w`.
    pub fn new(config: &ControlNetConfig, w: &Weights) -> Self {
        let sites = attention_sites(&config.encoder);
        let zero = |w: &Weights, channels: usize| Conv2d::new(w, channels, channels, 1, 1, 0);
        let down = w.at("controlnet_down_blocks");
        let skips = skip_channels(config);
        let innermost = *skips.last().expect("a model has at least one level");
        Self {
            encoder: Encoder::new(&config.encoder, &mut sites.iter(), w),
            controlnet_cond_embedding: PictureEmbedding::new(config, w),
            controlnet_down_blocks: (skips.iter().enumerate())
                .map(|(index, channels)| zero(&down.at(index), *channels))
                .collect(),
            controlnet_mid_block: zero(&w.at("controlnet_mid_block"), innermost),
            config: config.clone(),
        }
    }

    /// The configuration the model was built from.
    pub const fn config(&self) -> &ControlNetConfig {
        &self.config
    }

    /// The attention sites the model calls, in a session of its own.
    pub fn attention_sites(&self) -> AttentionSites {
        attention_sites(&self.config.encoder)
    }

    /// What it makes of its picture.
    pub const fn embedding(&self) -> &PictureEmbedding {
        &self.controlnet_cond_embedding
    }

    /// One evaluation. `hint` is the [embedding](Self::embedding) of the picture; the rest as
    /// [`UNet2DConditionModel::forward`](crate::unet::UNet2DConditionModel::forward) takes it.
    ///
    /// # Shapes
    ///
    /// - `latents`: `[batch, in_channels, height, width]`
    /// - `context`: `[batch, text_len, context_dim]`, without the tokens of pictures
    /// - `hint`: `[batch or 1, channels, height, width]`
    ///
    /// # Errors
    ///
    /// [`UNetError`] when an input does not fit the model.
    pub fn forward(
        &self,
        latents: Tensor<4>,
        timesteps: impl Into<Timesteps>,
        context: Tensor<3>,
        added: Option<AddedConditions>,
        hint: &Tensor<4>,
        session: &mut Session,
    ) -> Result<Residuals, UNetError> {
        let input = Input {
            latents,
            timesteps: timesteps.into(),
            context,
            added,
        };
        let encoded = self.encoder.forward(input, Some(hint), session)?;
        let skips = encoded.skips.into_iter().zip(&self.controlnet_down_blocks);
        let down = skips.map(|(x, zero)| zero.forward(x)).collect();
        Ok(Residuals::new(
            down,
            self.controlnet_mid_block.forward(encoded.x),
        ))
    }
}

/// Channels of each skip connection, in the order the down blocks leave them.
pub(super) fn skip_channels(config: &ControlNetConfig) -> Vec<usize> {
    let mut channels = vec![config.encoder.time.sinusoid_dim];
    for block in &config.encoder.down {
        let count = block.inputs.len() + usize::from(block.resample);
        channels.extend(std::iter::repeat_n(block.channels, count));
    }
    channels
}
