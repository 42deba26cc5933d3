use burn::module::Module;
use burn::tensor::{DType, FloatDType, Tensor};
use conceptrol_core::models::nn::{Activation, Conv2d, GroupNorm};
use conceptrol_core::models::weights::Weights;
use conceptrol_core::{AttentionSites, Session};

use super::down::DownBlock;
use super::mid::MidBlock;
use super::time_embedding::{AddedEmbedding, TimeEmbedding};
use super::up::UpBlock;
use super::{AddedConditions, Timesteps, UNetError};
use crate::config::UNetConfig;
use crate::sites::attention_sites;

/// The denoiser of Stable Diffusion: predicts the noise in latents, given a timestep and text states.
///
/// Built from a [`UNetConfig`] and [`Weights`] in diffusers' layout; the caller finishes the weights to learn what
/// was missing.
#[derive(Module, Debug)]
pub struct UNet2DConditionModel {
    conv_in: Conv2d,
    time_embedding: TimeEmbedding,
    add_embedding: Option<AddedEmbedding>,
    down_blocks: Vec<DownBlock>,
    mid_block: Option<MidBlock>,
    up_blocks: Vec<UpBlock>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
    #[module(skip)]
    config: UNetConfig,
    #[module(skip)]
    dtype: FloatDType,
}

impl UNet2DConditionModel {
    /// Takes the tensors of the model from `w`.
    pub fn new(config: &UNetConfig, w: &Weights) -> Self {
        let sites = attention_sites(config);
        // Every attention takes the next site, so blocks are built in the order they run.
        let sites = &mut sites.iter();
        let channels = config.time.sinusoid_dim;
        let (kernel_in, kernel_out) = (config.conv_in_kernel, config.conv_out_kernel);
        let conv_in = w.at("conv_in");
        let conv_out = w.at("conv_out");
        let (down, mid, up) = (w.at("down_blocks"), w.at("mid_block"), w.at("up_blocks"));
        Self {
            conv_in: Conv2d::new(
                &conv_in,
                config.in_channels,
                channels,
                kernel_in,
                1,
                kernel_in / 2,
            ),
            time_embedding: TimeEmbedding::new(
                &config.time,
                config.activation,
                &w.at("time_embedding"),
            ),
            add_embedding: (config.added.as_ref())
                .map(|added| AddedEmbedding::new(added, &config.time, &w.at("add_embedding"))),
            down_blocks: (config.down.iter().enumerate())
                .map(|(index, block)| DownBlock::new(config, block, sites, &down.at(index)))
                .collect(),
            mid_block: (config.mid.as_ref()).map(|block| MidBlock::new(config, block, sites, &mid)),
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
                kernel_out,
                1,
                kernel_out / 2,
            ),
            config: config.clone(),
            dtype: w.dtype(),
        }
    }

    /// The configuration the model was built from.
    pub fn config(&self) -> &UNetConfig {
        &self.config
    }

    /// The attention sites the model calls.
    pub fn attention_sites(&self) -> AttentionSites {
        attention_sites(&self.config)
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
        let timesteps = timesteps.into();
        expect(
            "the latents",
            "rows",
            latents.dims()[0],
            session.batch().rows(),
        )?;
        self.check(&latents, &timesteps, &context, added.as_ref())?;
        let outer_dtype = FloatDType::from(latents.dtype());
        let latents = latents.cast(self.dtype);
        let context = context.cast(self.dtype);
        let time = self.time(&latents, &timesteps, added, session);

        let mut x = self.conv_in.adapted(latents, session);
        let mut skips = vec![x.clone()];
        for block in &self.down_blocks {
            x = block.forward(x, &time, &context, &mut skips, session)?;
        }
        if let Some(block) = &self.mid_block {
            x = block.forward(x, &time, &context, session)?;
        }
        for block in &self.up_blocks {
            x = block.forward(x, &time, &context, &mut skips, session)?;
        }
        let x = match self.config.activation {
            Activation::Silu => self.conv_norm_out.forward_silu(x),
            activation => activation.forward(self.conv_norm_out.forward(x)),
        };
        Ok(self.conv_out.adapted(x, session).cast(outer_dtype))
    }

    /// The embedding every residual block projects, activated here once for all of them: `[batch or 1, embed_dim]`.
    fn time(
        &self,
        latents: &Tensor<4>,
        timesteps: &Timesteps,
        added: Option<AddedConditions>,
        session: &mut Session,
    ) -> Tensor<2> {
        let (device, dtype) = (latents.device(), DType::from(self.dtype));
        let mut time = (self.time_embedding).forward(timesteps, &device, dtype, session);
        if let (Some(embedding), Some(mut added)) = (&self.add_embedding, added) {
            added.text_embeds = added.text_embeds.cast(self.dtype);
            time = embedding.forward(added, &device, dtype, session) + time;
        }
        self.config.activation.forward(time)
    }

    fn check(
        &self,
        latents: &Tensor<4>,
        timesteps: &Timesteps,
        context: &Tensor<3>,
        added: Option<&AddedConditions>,
    ) -> Result<(), UNetError> {
        let [batch, channels, height, width] = latents.dims();
        let [context_rows, text_len, context_dim] = context.dims();
        for (input, length) in [("latent picture", height * width), ("text", text_len)] {
            if length == 0 {
                return Err(UNetError::Empty { input });
            }
        }
        expect("the latents", "channels", channels, self.config.in_channels)?;
        expect("the text", "rows", context_rows, batch)?;
        expect("the text", "channels", context_dim, self.config.context_dim)?;
        if timesteps.values.len() != 1 {
            expect("the timesteps", "rows", timesteps.values.len(), batch)?;
        }
        if timesteps.guidance_scale.is_some() && self.config.time.guidance_dim.is_none() {
            return Err(UNetError::UnusedGuidanceScale);
        }
        match (&self.config.added, added) {
            (None, None) => Ok(()),
            (Some(_), None) => Err(UNetError::MissingAddedConditions),
            (None, Some(_)) => Err(UNetError::UnusedAddedConditions),
            (Some(config), Some(added)) => {
                let [pooled_rows, pooled_dim] = added.text_embeds.dims();
                expect("the pooled text", "rows", pooled_rows, batch)?;
                expect(
                    "the list of picture sizes",
                    "rows",
                    added.time_ids.len(),
                    batch,
                )?;
                added.time_ids.iter().try_for_each(|ids| {
                    let found = pooled_dim + ids.len() * config.sinusoid_dim;
                    expect(
                        "pooled text with picture sizes",
                        "channels",
                        found,
                        config.input_dim,
                    )
                })
            }
        }
    }
}

fn expect(
    input: &'static str,
    axis: &'static str,
    found: usize,
    expected: usize,
) -> Result<(), UNetError> {
    if found == expected {
        return Ok(());
    }
    Err(UNetError::WrongInput {
        input,
        axis,
        found,
        expected,
    })
}
