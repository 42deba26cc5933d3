//! What controls add at a step.

use burn::tensor::Tensor;
use conceptrol_core::{
    AttentionPlan, BatchLayout, Grid, Session, StepInfo, StepWindow,
    models::image::image_to_unit_tensor,
    pipeline::{ConceptGate, Frame, PipelineError},
};

use super::{nets::LoadedNets, request::acting};
use crate::{
    controlnet::ControlNetModel,
    pipeline::{Encoded, Request, StableDiffusion, picture::at_size},
    unet::{AddedConditions, Residuals},
};

/// A control of a request whose picture is embedded.
#[derive(Debug, Clone)]
pub struct Control {
    net: usize,
    /// `[1, channels, height, width]`
    hint: Tensor<4>,
    scale: f32,
    window: StepWindow,
    gate: Option<ConceptGate>,
    guess: bool,
}

impl StableDiffusion {
    /// Embeds the pictures of all controls that act.
    pub(in crate::pipeline) fn encode_controls(
        &self,
        request: &Request,
        frame: &Frame,
    ) -> Result<Vec<Control>, PipelineError> {
        let acting = acting(request).map(|control| {
            let embedding = self.picture_embedding(control.net)?;
            let picture = at_size(&control.image, frame.size);
            let pixels = image_to_unit_tensor(&picture, &self.profile.device);
            Ok(Control {
                net: control.net,
                hint: embedding.forward(pixels),
                scale: control.scale,
                window: control.window,
                gate: control.gate,
                guess: control.guess,
            })
        });
        acting.collect()
    }
}

/// The sum of what all controls add at a step to the rows of a generation.
///
/// # Shapes
///
/// `latents`: `[rows, channels, height, width]`, scaled as the UNet takes them
pub(in crate::pipeline) fn residuals(
    nets: &LoadedNets,
    states: &Encoded,
    latents: &Tensor<4>,
    step: StepInfo,
    session: &mut Session,
) -> Result<Option<Residuals>, PipelineError> {
    let mut sum: Option<Residuals> = None;
    for (number, control) in states.controls.iter().enumerate() {
        if !control.window.contains(step.index, step.total) {
            continue;
        }
        let net = nets.get(&control.net).expect("loaded for this request");
        let Some(added) = control.residuals(number, net, states, latents, step, session)? else {
            continue;
        };
        sum = Some(match sum {
            Some(sum) => sum.plus(added),
            None => added,
        });
    }
    Ok(sum)
}

impl Control {
    /// What it adds; nothing while its gate has no mask yet.
    fn residuals(
        &self,
        number: usize,
        net: &ControlNetModel,
        states: &Encoded,
        latents: &Tensor<4>,
        step: StepInfo,
        session: &mut Session,
    ) -> Result<Option<Residuals>, PipelineError> {
        let batch = session.batch();
        // further channels are for the UNet
        let channels = net.config().encoder.in_channels;
        let [_, _, height, width] = latents.dims();
        let device = latents.device();
        let gate = |session: &mut Session, grid| match self.gate {
            None => Some(None),
            Some(gate) => gate.factor(session, grid, &device).map(Some),
        };
        if gate(session, Grid::new(height, width)).is_none() {
            return Ok(None);
        }
        let pooled = net.config().global_pool;
        let conditional = (self.guess || pooled) && batch.is_guided();
        let rows = match conditional {
            true => batch.conditional(),
            false => 0..batch.rows(),
        };
        let seen = match conditional {
            true => BatchLayout::unguided(batch.images),
            false => batch,
        };
        let added = states.added.as_ref().map(|added| AddedConditions {
            text_embeds: added.text_embeds.clone().slice_dim(0, rows.clone()),
            time_ids: added.time_ids[rows.clone()].to_vec(),
        });
        let plan = || AttentionPlan::plain(&net.attention_sites());
        let residuals = net.forward(
            latents
                .clone()
                .slice_dim(0, rows.clone())
                .slice_dim(1, 0..channels),
            step.timestep,
            states.context.clone().slice_dim(0, rows),
            added,
            &self.hint,
            session.guest(number, seen, plan)?,
        )?;
        let count = residuals.down.len() + 1;
        let scaled = residuals.map(|index, x| {
            let [_, _, height, width] = x.dims();
            let scale = self.scale_at(index, count, pooled);
            let mut x = if scale == 1.0 { x } else { x * scale };
            if pooled {
                x = x.mean_dim(2).mean_dim(3); // [rows, channels, 1, 1]
            }
            if conditional {
                x = batch.by_role(&x, || x.zeros_like());
            }
            match gate(session, Grid::new(height, width)).flatten() {
                Some(factor) => {
                    let dtype = x.dtype();
                    x * factor.cast(dtype)
                }
                None => x,
            }
        });
        Ok(Some(scaled))
    }

    /// The factor on the residual of this number, from a tenth to the whole in guess mode.
    fn scale_at(&self, index: usize, count: usize, pooled: bool) -> f32 {
        if !self.guess || pooled {
            return self.scale;
        }
        #[expect(clippy::cast_precision_loss, reason = "a dozen of residuals")]
        let exponent = -1.0 + index as f32 / (count - 1) as f32;
        10.0_f32.powf(exponent) * self.scale
    }
}
