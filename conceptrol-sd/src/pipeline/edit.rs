//! Editing a picture by an instruction: `InstructPix2Pix`.

use burn::tensor::Tensor;
use conceptrol_core::{
    models::image::image_to_tensor,
    pipeline::{ConceptGate, Frame, GuidanceRule, InputKind, PipelineError},
};
use image::RgbImage;

use super::{
    Request, StableDiffusion,
    picture::{at_size, check_picture},
};

/// What diffusers takes for `image_guidance_scale`.
const IMAGE_GUIDANCE: f64 = 1.5;

/// A picture that the prompt, an instruction, changes. It needs a UNet that was trained for that (8 channels).
///
/// A picture of another size than asked is resized by Pillow's Lanczos filter; without a size the result has the picture's own,
/// each side rounded down to a multiple of 8.
///
/// ```
/// use conceptrol_core::{image::RgbImage, pipeline::{ConceptGate, ConceptRequest, Request}};
/// use conceptrol_sd::pipeline::{EditRequest, Extra};
///
/// let before = RgbImage::new(64, 48);
/// let edit = EditRequest::new(before).image_guidance(1.2).gate(ConceptGate::inside(0));
/// let mut request = Request::<Extra>::new("make the dog a fox").concept(ConceptRequest::words_only("dog"));
/// request.extra.edit = Some(edit);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct EditRequest {
    /// The picture before.
    pub image: RgbImage,
    /// How closely it is followed: diffusers' `image_guidance_scale`. As there, below 1 there is no guidance at all, neither by
    /// the picture nor by the prompt.
    pub image_guidance: f64,
    /// Where the instruction acts; everywhere if `None`. The mask of the concept multiplies the guidance by the prompt. Where
    /// it is 0, the prediction is that of an edit whose instruction is the negative prompt.
    pub gate: Option<ConceptGate>,
}

impl EditRequest {
    /// Changes `image` everywhere, with diffusers' image guidance of 1.5.
    pub const fn new(image: RgbImage) -> Self {
        Self {
            image,
            image_guidance: IMAGE_GUIDANCE,
            gate: None,
        }
    }

    /// Sets how closely the picture is followed.
    pub fn image_guidance(mut self, scale: f64) -> Self {
        self.image_guidance = scale;
        self
    }

    /// Sets where the instruction acts.
    pub fn gate(mut self, gate: ConceptGate) -> Self {
        self.gate = Some(gate);
        self
    }

    /// Rows and guidance of an edit at a guidance scale.
    pub(super) fn guidance(&self, scale: f64) -> GuidanceRule {
        if scale > 1.0 && self.image_guidance >= 1.0 {
            GuidanceRule::edited(scale, self.image_guidance, self.gate)
        } else {
            GuidanceRule::none()
        }
    }

    fn check(&self, scale: f64) -> Result<(), PipelineError> {
        check_picture("the picture to edit", &self.image)?;
        if !self.image_guidance.is_finite() {
            let (what, value) = ("the image guidance scale", self.image_guidance);
            return Err(PipelineError::bad_request(what, value, "finite"));
        }
        if self.gate.is_some() && self.guidance(scale) == GuidanceRule::none() {
            let expected = "above 1, with an image guidance of 1 or more: a gate is on guidance";
            return Err(PipelineError::bad_request(
                "the guidance scale",
                scale,
                expected,
            ));
        }
        Ok(())
    }
}

impl StableDiffusion {
    /// That there is a picture to edit if the UNet was trained for that, and none otherwise.
    pub(super) fn check_edit(&self, request: &Request) -> Result<(), PipelineError> {
        match (self.profile.input, &request.extra.edit) {
            (InputKind::Edit, Some(_)) if request.start.is_some() => {
                Err(PipelineError::Unsupported {
                    family: "a UNet that edits",
                    what: "picture to start from: the one it edits is beside the noise".into(),
                })
            }
            (InputKind::Edit, Some(edit)) => edit.check(self.guidance_scale(request)),
            (InputKind::Edit, None) => Err(PipelineError::bad_request(
                "the picture to edit",
                "absent",
                "given: this UNet takes 8 channels and was trained to edit",
            )),
            (_, Some(_)) => Err(PipelineError::Unsupported {
                family: "this UNet",
                what: "channels for a picture to edit".into(),
            }),
            (_, None) => Ok(()),
        }
    }

    /// The latents of the picture to edit for every row: the mean of the posterior, not scaled, and zeros where a row sees no
    /// picture.
    ///
    /// # Shapes
    ///
    /// -> `[rows, channels, height, width]`
    pub(super) fn encode_edit(
        &self,
        request: &Request,
        frame: &Frame,
    ) -> Result<Option<Tensor<4>>, PipelineError> {
        let Some(edit) = &request.extra.edit else {
            return Ok(None);
        };
        let picture = at_size(&edit.image, frame.size);
        let pixels = image_to_tensor(&picture, &self.profile.device);
        let latents = self
            .posterior_mean(pixels, request.vae_tile)?
            .cast(self.profile.dtype);
        let latents = latents.repeat_dim(0, frame.batch.images);
        let roles = frame.batch.roles().len();
        // the last row of guidance sees nothing
        let seen = (0..roles).map(|role| match role + 1 == roles && roles > 1 {
            true => latents.zeros_like(),
            false => latents.clone(),
        });
        Ok(Some(Tensor::cat(seen.collect(), 0)))
    }
}
