use burn::module::Module;
use burn::tensor::{FloatDType, Tensor};
use conceptrol_core::models::nn::{Activation, Conv2d, GroupNorm};
use conceptrol_core::models::weights::Weights;
use conceptrol_core::{AttentionSites, Session};

use super::encoder::{Encoder, Input};
use super::up::UpBlock;
use super::{AddedConditions, Residuals, Timesteps, UNetError};
use crate::config::UNetConfig;
use crate::sites::attention_sites;

/// The denoiser of Stable Diffusion: predicts the noise in latents, given a timestep and text states.
///
/// Built from a [`UNetConfig`] and [`Weights`] in diffusers' layout; the caller finishes the weights to learn what
/// was missing.
#[derive(Module, Debug)]
pub struct UNet2DConditionModel {
    encoder: Encoder,
    up_blocks: Vec<UpBlock>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl UNet2DConditionModel {
    /// Takes the tensors of the model from `w`.
    pub fn new(config: &UNetConfig, w: &Weights) -> Self {
        let sites = attention_sites(config);
        // Every attention takes the next site, so blocks are built in the order they run.
        let sites = &mut sites.iter();
        let (channels, kernel) = (config.time.sinusoid_dim, config.conv_out_kernel);
        let (up, conv_out) = (w.at("up_blocks"), w.at("conv_out"));
        Self {
            encoder: Encoder::new(config, sites, w),
            up_blocks: (config.up.iter().enumerate())
                .map(|(index, block)| UpBlock::new(config, block, sites, &up.at(index)))
                .collect(),
            conv_norm_out: GroupNorm::new(
                &w.at("conv_norm_out"),
                config.norm_groups,
                channels,
                config.norm_eps,
            ),
            conv_out: Conv2d::new(
                &conv_out,
                channels,
                config.out_channels,
                kernel,
                1,
                kernel / 2,
            ),
        }
    }

    /// The configuration the model was built from.
    pub fn config(&self) -> &UNetConfig {
        self.encoder.config()
    }

    /// The attention sites the model calls.
    pub fn attention_sites(&self) -> AttentionSites {
        attention_sites(self.config())
    }

    /// One evaluation, at one timestep or at one for each row. The text states must be the same throughout a session: their keys and values are kept in it.
    ///
    /// Inputs are cast to the dtype of the weights, the output to that of the latents.
    ///
    /// # Shapes
    /// - latents: `[batch, in_channels, height, width]`, any height and width
    /// - context: `[batch, text_len, context_dim]`
    /// - output: `[batch, out_channels, height, width]`
    ///
    /// # Errors
    ///
    /// [`UNetError`] when an input does not fit the model or a processor of the session fails.
    pub fn forward(
        &self,
        latents: Tensor<4>,
        timesteps: impl Into<Timesteps>,
        context: Tensor<3>,
        added: Option<AddedConditions>,
        session: &mut Session,
    ) -> Result<Tensor<4>, UNetError> {
        self.controlled(latents, timesteps, context, added, None, session)
    }

    /// The same with what `ControlNets` add to the skip connections and to what comes out of the middle.
    ///
    /// # Errors
    ///
    /// As [`forward`](Self::forward), and residuals of another model.
    pub fn controlled(
        &self,
        latents: Tensor<4>,
        timesteps: impl Into<Timesteps>,
        context: Tensor<3>,
        added: Option<AddedConditions>,
        residuals: Option<Residuals>,
        session: &mut Session,
    ) -> Result<Tensor<4>, UNetError> {
        let outer_dtype = FloatDType::from(latents.dtype());
        let input = Input {
            latents,
            timesteps: timesteps.into(),
            context,
            added,
        };
        let mut encoded = self.encoder.forward(input, None, session)?;
        if let Some(residuals) = residuals {
            (encoded.x, encoded.skips) = residuals.added_to(encoded.x, encoded.skips)?;
        }
        let (mut x, mut skips) = (encoded.x, encoded.skips);
        for block in &self.up_blocks {
            x = block.forward(x, &encoded.time, &encoded.context, &mut skips, session)?;
        }
        let x = match self.config().activation {
            Activation::Silu => self.conv_norm_out.forward_silu(x),
            activation => activation.forward(self.conv_norm_out.forward(x)),
        };
        Ok(self.conv_out.adapted(x, session).cast(outer_dtype))
    }
}
