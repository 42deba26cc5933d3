//! From a request to pictures.

use std::ops::ControlFlow;

use burn::tensor::Tensor;
use conceptrol_core::models::autoencoder_kl::Tiling;
use conceptrol_core::{AttentionPlan, BatchLayout, Grid, Session};

use super::denoise::{Denoise, Progress};
use super::model::FluxPipeline;
use super::prepare::Prepared;
use super::request::FluxRequest;
use crate::error::FluxError;
use crate::latents::unpack;

/// A finished generation.
#[derive(Debug)]
pub struct Generated {
    /// Pictures with values of about -1 to 1, not clamped: `[images, 3, height, width]`.
    pub pictures: Tensor<4>,
    /// Packed latents before decoding: `[images, latent tokens, in_channels]`.
    pub latents: Tensor<3>,
    /// The session at its end, with masks and captures.
    pub session: Session,
}

impl FluxPipeline {
    /// Generates pictures; `plan` says what the attention does with the reference pictures.
    ///
    /// `observer` is called after every step; breaking ends the generation.
    ///
    /// # Errors
    /// [`FluxError`] for a request the model cannot serve, before the first step; [`FluxError::Cancelled`] if the observer
    /// breaks.
    pub fn generate(
        &self,
        request: &FluxRequest,
        plan: &AttentionPlan,
        observer: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> Result<Generated, FluxError> {
        let prepared = self.prepare(request)?;
        let (latents, session) = self.denoise(request, &prepared, plan, observer)?;
        let pictures = self.decode(latents.clone(), prepared.grid, request.vae_tile)?;
        Ok(Generated {
            pictures,
            latents,
            session,
        })
    }

    /// Runs the denoising steps of a prepared request: packed latents in f32, and the session at its end.
    ///
    /// # Errors
    /// As [`generate`](Self::generate).
    pub fn denoise(
        &self,
        request: &FluxRequest,
        prepared: &Prepared,
        plan: &AttentionPlan,
        observer: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> Result<(Tensor<3>, Session), FluxError> {
        let batch = BatchLayout::unguided(prepared.latents.dims()[0]);
        let mut session =
            Session::new(plan, batch, prepared.concepts.clone())?.condition(request.condition);
        let transformer = self.transformer()?;
        let denoise = Denoise {
            transformer: &transformer,
            schedule: prepared.schedule.clone(),
            text: prepared.prompt.text.clone(),
            pooled: prepared.prompt.pooled.clone(),
            conditions: &prepared.conditions,
            placement: self.placement,
            latents: prepared.latents.clone(),
            grid: prepared.grid,
            guidance: request.guidance,
            dtype: self.dtype(),
        };
        let latents = denoise.run(&mut session, observer)?;
        Ok((latents, session))
    }

    /// Decodes packed latents into pictures with values of about -1 to 1; in tiles of `tile` pixels if given.
    ///
    /// # Shapes
    /// `[images, grid cells, in_channels]` -> `[images, 3, height, width]`
    ///
    /// # Errors
    /// [`FluxError::Autoencoder`] if there is nothing to decode.
    pub fn decode(
        &self,
        latents: Tensor<3>,
        grid: Grid,
        tile: Option<usize>,
    ) -> Result<Tensor<4>, FluxError> {
        let latents = self
            .autoencoder
            .unscale(unpack(latents, grid))
            .cast(self.autoencoder_dtype());
        let tiling = tile.map(Tiling::new);
        Ok(self.autoencoder.decode(latents, tiling.as_ref())?)
    }
}
