//! Control pictures: what `ControlNets` read in a generation, and what they add.

use std::{collections::BTreeMap, sync::Arc};

use burn::tensor::Tensor;
use conceptrol_core::{
    AttentionPlan, BatchLayout, Grid, Session, StepInfo, StepWindow,
    models::image::image_to_unit_tensor,
    pipeline::{ConceptGate, Frame, PipelineError},
};
use image::RgbImage;

use super::{
    Encoded, Request, StableDiffusion,
    configurations::FAMILY,
    picture::{at_size, check_picture},
};
use crate::{
    controlnet::ControlNetModel,
    unet::{AddedConditions, Residuals},
};

/// A `ControlNet` and the picture it reads.
///
/// The picture is for all pictures of the request. One of another size than asked is resized by Pillow's Lanczos filter, as
/// diffusers does; if the request has no size, the result has that of the first control picture, each side rounded down to a
/// multiple of 8. The net sees the text alone, never reference pictures.
///
/// ```
/// use conceptrol_core::{StepWindow, image::RgbImage, pipeline::{ConceptGate, ConceptRequest, Request}};
/// use conceptrol_sd::pipeline::{ControlRequest, Extra};
///
/// // the first net, at 0.7 for the first four fifths of the steps, everywhere but at the cat
/// let edges = RgbImage::new(512, 512);
/// let control = ControlRequest::new(0, edges).scale(0.7).window(StepWindow::new(0.0, 0.8)?).gate(ConceptGate::outside(0));
/// let mut request = Request::<Extra>::new("a cat on the beach").concept(ConceptRequest::words_only("cat"));
/// request.extra.controls.push(control);
/// # Ok::<(), conceptrol_core::InstallError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ControlRequest {
    /// Which of the [loaded](conceptrol_core::pipeline::LoadOptions::controlnet) nets, counted from 0.
    pub net: usize,
    /// What it reads: edges, depth, a pose, as it was trained.
    pub image: RgbImage,
    /// Factor on what it adds. At 0 it is not computed, and every bit is as without it.
    pub scale: f32,
    /// When it acts. Outside it is not computed.
    pub window: StepWindow,
    /// Where it acts; everywhere if `None`. At the skip connections its mask is that of the step before, as masks are read
    /// later in a step; so a net that is gated by a mask that attention says does nothing in the first step.
    pub gate: Option<ConceptGate>,
    /// diffusers' `guess_mode`: it acts on conditional rows only, more strongly the deeper. Nets that give one number a channel
    /// for the whole picture act on conditional rows only, anyway.
    pub guess: bool,
}

impl ControlRequest {
    /// Net number `net` reads `image`; it acts with strength 1, always and everywhere.
    pub const fn new(net: usize, image: RgbImage) -> Self {
        Self {
            net,
            image,
            scale: 1.0,
            window: StepWindow::ALWAYS,
            gate: None,
            guess: false,
        }
    }

    /// Sets the factor on what it adds.
    pub fn scale(mut self, scale: f32) -> Self {
        self.scale = scale;
        self
    }

    /// Sets when it acts.
    pub fn window(mut self, window: StepWindow) -> Self {
        self.window = window;
        self
    }

    /// Sets where it acts.
    pub fn gate(mut self, gate: ConceptGate) -> Self {
        self.gate = Some(gate);
        self
    }

    /// Sets whether it acts on conditional rows only, more strongly the deeper.
    pub fn guess(mut self, guess: bool) -> Self {
        self.guess = guess;
        self
    }
}

/// The nets that a request uses, by their numbers.
pub(super) type ControlNets = BTreeMap<usize, Arc<ControlNetModel>>;

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
    /// That every control has its net, a picture and a strength.
    pub(super) fn check_controls(&self, request: &Request) -> Result<(), PipelineError> {
        let repaint = request
            .start
            .as_ref()
            .and_then(|start| start.repaint.as_ref());
        let cut = repaint.is_some_and(|repaint| repaint.padding.is_some());
        if cut && !request.extra.controls.is_empty() {
            return Err(PipelineError::Unsupported {
                family: FAMILY,
                what: "control of a region that is cut out: its picture is that of the whole"
                    .into(),
            });
        }
        let loaded = self.controlnets().len();
        for control in &request.extra.controls {
            if control.net >= loaded {
                let expected = format!("below the {loaded} that are loaded");
                let what = "the number of a ControlNet";
                return Err(PipelineError::bad_request(what, control.net, expected));
            }
            check_picture("a control picture", &control.image)?;
            if !control.scale.is_finite() {
                let what = "the scale of a control";
                return Err(PipelineError::bad_request(what, control.scale, "finite"));
            }
        }
        Ok(())
    }

    /// Embeds the pictures of all controls that act.
    pub(super) fn encode_controls(
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

    /// The nets of all controls that act.
    pub(super) fn nets(&self, request: &Request) -> Result<ControlNets, PipelineError> {
        let nets = acting(request).map(|control| Ok((control.net, self.controlnet(control.net)?)));
        nets.collect()
    }
}

/// The controls that act at all.
fn acting(request: &Request) -> impl Iterator<Item = &ControlRequest> {
    let controls = request.extra.controls.iter();
    controls.filter(|control| control.scale != 0.0)
}

/// The sum of what all controls add at a step to the rows of a generation.
///
/// # Shapes
///
/// `latents`: `[rows, channels, height, width]`, scaled as the UNet takes them
pub(super) fn residuals(
    nets: &ControlNets,
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
