use std::slice;

use burn::module::Module;
use burn::tensor::{DType, FloatDType, Tensor};
use conceptrol_core::models::nn::Conv2d;
use conceptrol_core::models::weights::Weights;
use conceptrol_core::{AttentionSite, Session};

use super::down::DownBlock;
use super::error::expect;
use super::mid::MidBlock;
use super::time_embedding::{AddedEmbedding, TimeEmbedding};
use super::{AddedConditions, Timesteps, UNetError};
use crate::config::UNetConfig;

/// The half of a UNet that a `ControlNet` has, too: embeddings, down blocks and the block in the middle.
#[derive(Module, Debug)]
pub(crate) struct Encoder {
    conv_in: Conv2d,
    time_embedding: TimeEmbedding,
    add_embedding: Option<AddedEmbedding>,
    down_blocks: Vec<DownBlock>,
    mid_block: Option<MidBlock>,
    #[module(skip)]
    config: UNetConfig,
    #[module(skip)]
    dtype: FloatDType,
}

/// What a model is evaluated on.
pub(crate) struct Input {
    /// `[batch, in_channels, height, width]`
    pub(crate) latents: Tensor<4>,
    pub(crate) timesteps: Timesteps,
    /// `[batch, text_len, context_dim]`
    pub(crate) context: Tensor<3>,
    pub(crate) added: Option<AddedConditions>,
}

/// What the encoder leaves to the other half.
pub(crate) struct Encoded {
    /// What comes out of the middle.
    pub(crate) x: Tensor<4>,
    /// What the down blocks left for the up blocks.
    pub(crate) skips: Vec<Tensor<4>>,
    /// The embedding that residual blocks project, `[batch or 1, embed_dim]`.
    pub(super) time: Tensor<2>,
    pub(super) context: Tensor<3>,
}

impl Encoder {
    /// Takes the tensors from `w`, and the sites of its attentions from `sites`.
    pub(crate) fn new(
        config: &UNetConfig,
        sites: &mut slice::Iter<'_, AttentionSite>,
        w: &Weights,
    ) -> Self {
        let (channels, kernel) = (config.time.sinusoid_dim, config.conv_in_kernel);
        let conv_in = w.at("conv_in");
        let (time, added) = (w.at("time_embedding"), w.at("add_embedding"));
        let (down, mid) = (w.at("down_blocks"), w.at("mid_block"));
        Self {
            conv_in: Conv2d::new(
                &conv_in,
                config.in_channels,
                channels,
                kernel,
                1,
                kernel / 2,
            ),
            time_embedding: TimeEmbedding::new(&config.time, config.activation, &time),
            add_embedding: (config.added.as_ref())
                .map(|config_of| AddedEmbedding::new(config_of, &config.time, &added)),
            down_blocks: (config.down.iter().enumerate())
                .map(|(index, block)| DownBlock::new(config, block, sites, &down.at(index)))
                .collect(),
            mid_block: (config.mid.as_ref()).map(|block| MidBlock::new(config, block, sites, &mid)),
            config: config.clone(),
            dtype: w.dtype(),
        }
    }

    pub(crate) const fn config(&self) -> &UNetConfig {
        &self.config
    }

    /// `hint` is added to what the first convolution makes of the latents, `[batch or 1, channels, height, width]`.
    pub(crate) fn forward(
        &self,
        input: Input,
        hint: Option<&Tensor<4>>,
        session: &mut Session,
    ) -> Result<Encoded, UNetError> {
        let rows = input.latents.dims()[0];
        expect("the latents", "rows", rows, session.batch().rows())?;
        self.check(&input)?;
        let latents = input.latents.cast(self.dtype);
        let context = input.context.cast(self.dtype);
        let time = self.time(&latents, &input.timesteps, input.added, session);

        let mut x = self.conv_in.adapted(latents, session);
        if let Some(hint) = hint {
            x = x + hint.clone().cast(self.dtype);
        }
        let mut skips = vec![x.clone()];
        for block in &self.down_blocks {
            x = block.forward(x, &time, &context, &mut skips, session)?;
        }
        if let Some(block) = &self.mid_block {
            x = block.forward(x, &time, &context, session)?;
        }
        Ok(Encoded {
            x,
            skips,
            time,
            context,
        })
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

    fn check(&self, input: &Input) -> Result<(), UNetError> {
        let (context, timesteps) = (&input.context, &input.timesteps);
        let [batch, channels, height, width] = input.latents.dims();
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
        match (&self.config.added, &input.added) {
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
