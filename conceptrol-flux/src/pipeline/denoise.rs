//! The denoising loop.

use std::ops::ControlFlow;

use burn::tensor::{FloatDType, Tensor};
use conceptrol_core::{Grid, Session, StepInfo, TokenLayout};

use crate::error::FluxError;
use crate::latents::{grid_positions, text_positions};
use crate::mmdit::{FluxInput, FluxTransformer, Rotary};
use crate::omini::{Condition, Placement};
use conceptrol_core::models::scheduler::FlowMatchSchedule;

/// What a generation starts from.
#[derive(Debug)]
pub struct Denoise<'a> {
    /// The transformer, with its adapters installed.
    pub transformer: &'a FluxTransformer,
    /// The noise levels.
    pub schedule: FlowMatchSchedule,
    /// T5 states of the prompt, `[images or 1, text tokens, joint_attention_dim]`.
    pub text: Tensor<3>,
    /// Pooled CLIP state of the prompt, `[images or 1, pooled_projection_dim]`.
    pub pooled: Tensor<2>,
    /// Reference pictures, in the order of the session's concepts.
    pub conditions: &'a [Condition],
    /// Where they lie beside the picture.
    pub placement: Placement,
    /// Packed noise, `[images, grid cells, in_channels]`.
    pub latents: Tensor<3>,
    /// Token grid of the pictures.
    pub grid: Grid,
    /// Guidance scale of a model that takes one.
    pub guidance: f32,
    /// The type the transformer computes in.
    pub dtype: FloatDType,
}

/// One finished step, as an observer sees it.
#[derive(Debug)]
pub struct Progress<'a> {
    /// The step.
    pub step: StepInfo,
    /// What the transformer predicted, `[images, grid cells, in_channels]`.
    pub velocity: &'a Tensor<3>,
    /// The latents after the step, of the same shape, in f32.
    pub latents: &'a Tensor<3>,
    /// The running session, with its published masks.
    pub session: &'a Session,
}

impl Denoise<'_> {
    /// Runs all steps and returns the packed latents of the finished pictures, in f32.
    ///
    /// `observer` is called after every step; breaking ends the generation.
    ///
    /// # Errors
    /// [`FluxError::Cancelled`] if the observer breaks, [`FluxError::Attention`] if a processor fails.
    pub fn run(
        self,
        session: &mut Session,
        observer: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> Result<Tensor<3>, FluxError> {
        let Self {
            transformer,
            schedule,
            conditions,
            placement,
            grid,
            guidance,
            dtype,
            ..
        } = self;
        let images = self.latents.dims()[0];
        let text = per_image(self.text, images).cast(dtype);
        let pooled = per_image(self.pooled, images).cast(dtype);
        let tokens = conditions.iter().map(|condition| condition.tokens.clone());
        let tokens: Vec<_> = tokens
            .map(|tokens| per_image(tokens, images).cast(dtype))
            .collect();
        let condition = (!tokens.is_empty()).then(|| Tensor::cat(tokens, 1));

        let grids: Vec<Grid> = conditions.iter().map(|condition| condition.grid).collect();
        let text_len = text.dims()[1];
        let mut positions = text_positions(text_len);
        positions.extend(grid_positions(grid));
        positions.extend(placement.positions(grid, &grids).into_iter().flatten());
        let axes = transformer.config().axes_dims_rope;
        let rotary = Rotary::new(&positions, axes, &text.device(), dtype);
        let layout = TokenLayout::joint(text_len, grid, grids);

        let mut latents = self.latents.cast(FloatDType::F32);
        let total = schedule.steps();
        for index in 0..total {
            let timestep = schedule.timestep(index);
            let step = StepInfo::new(index, total, f64::from(timestep));
            session.begin_step(step);
            let input = FluxInput {
                latents: latents.clone().cast(dtype),
                text: text.clone(),
                pooled: pooled.clone(),
                condition: condition.clone(),
                sigma: timestep / 1000.0,
                guidance,
                rotary: &rotary,
                layout: &layout,
            };
            let velocity = transformer.forward(input, session)?;
            latents = schedule.step(index, latents, velocity.clone());
            let progress = Progress {
                step,
                velocity: &velocity,
                latents: &latents,
                session,
            };
            if observer(progress).is_break() {
                return Err(FluxError::Cancelled {
                    done: index + 1,
                    total,
                });
            }
        }
        Ok(latents)
    }
}

/// One row for all images, or already one for each.
fn per_image<const D: usize>(x: Tensor<D>, images: usize) -> Tensor<D> {
    if x.dims()[0] == images {
        x
    } else {
        x.repeat_dim(0, images)
    }
}
