//! A control as it is asked for.

use conceptrol_core::{
    StepWindow,
    pipeline::{ConceptGate, PipelineError},
};
use image::RgbImage;

use crate::pipeline::{Request, StableDiffusion, configurations::FAMILY, picture::check_picture};

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

impl StableDiffusion {
    /// That every control has its net, a picture and a strength.
    pub(in crate::pipeline) fn check_controls(
        &self,
        request: &Request,
    ) -> Result<(), PipelineError> {
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
}

/// The controls that act at all.
pub(super) fn acting(request: &Request) -> impl Iterator<Item = &ControlRequest> {
    let controls = request.extra.controls.iter();
    controls.filter(|control| control.scale != 0.0)
}
