//! Classifier-free guidance.

use burn::tensor::Tensor;

use super::{PipelineError, Profile, Request};

/// How strongly the prompt is followed: diffusers' `guidance_scale`.
///
/// Stable Diffusion mixes an unconditional and a conditional prediction. FLUX.1-dev has guidance built in and reads the
/// scale as an input; FLUX.1-schnell has none. Both can mix beside that ([`true_cfg_scale`](Self::true_cfg_scale)).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Guidance {
    /// Scale; the family's own if `None`. Mixing is off, and costs nothing, at 1 and below.
    pub scale: Option<f64>,
    /// Scale of mixing in models that have guidance built in, or none: diffusers' `true_cfg_scale`. Above 1 it needs a negative
    /// prompt, which may be empty, and costs a second prediction a step; 1 is off.
    pub true_cfg_scale: Option<f64>,
    /// Share of the rescaling that keeps the contrast at high scales, 0 to 1.
    pub rescale: f64,
}

impl Guidance {
    /// The scale by which an unconditional and a conditional prediction are mixed; `None` if there is only one.
    pub(super) fn mixing(&self, profile: &Profile) -> Option<f64> {
        let scale = match profile.mixes_guidance {
            true => self.scale.unwrap_or(profile.defaults.guidance),
            false => self.true_cfg_scale?,
        };
        (scale > 1.0).then_some(scale)
    }
}

/// That nothing about guidance would be ignored.
pub(super) fn check<X>(request: &Request<X>, profile: &Profile) -> Result<(), PipelineError> {
    let guidance = &request.guidance;
    let refuse = |what: &str| {
        Err(PipelineError::Unsupported {
            family: profile.name,
            what: what.into(),
        })
    };
    let mut concepts = request.concepts.iter();
    if guidance.mixing(profile).is_none()
        && concepts.any(|concept| concept.negative_image.is_some())
    {
        return refuse("use for a negative picture: guidance mixes nothing");
    }
    if profile.mixes_guidance {
        return match guidance.true_cfg_scale {
            None => Ok(()),
            Some(_) => refuse("true_cfg_scale: its guidance scale is that of mixing"),
        };
    }
    if let Some(scale) = guidance.true_cfg_scale.filter(|scale| *scale < 1.0) {
        let name = "the true_cfg_scale";
        return Err(PipelineError::bad_request(name, scale, "at least 1"));
    }
    match (guidance.mixing(profile), &request.negative_prompts) {
        (None, Some(_)) => {
            refuse("negative prompt without a true_cfg_scale above 1: its guidance is built in")
        }
        (None, None) if guidance.rescale != 0.0 => {
            refuse("guidance to rescale without a true_cfg_scale above 1: its guidance is built in")
        }
        (Some(_), None) => refuse("true_cfg_scale without a negative prompt, which may be empty"),
        _ => Ok(()),
    }
}

/// `u + scale * (c - u)` of the unconditional and conditional rows of `output`, with the rescaling of section 3.4 of
/// arXiv 2305.08891.
///
/// # Shapes
///
/// `output`: `[2 x images, channels, height, width]`, unconditional rows first -> `[images, channels, height, width]`
pub(super) fn mix(output: &Tensor<4>, scale: f64, rescale: f64) -> Tensor<4> {
    let images = output.dims()[0] / 2;
    let unconditional = output.clone().slice_dim(0, 0..images);
    let conditional = output.clone().slice_dim(0, images..2 * images);
    let mixed = unconditional.clone() + (conditional.clone() - unconditional) * scale;
    if rescale == 0.0 {
        return mixed;
    }
    let rescaled = mixed.clone() * (deviation(conditional) / deviation(mixed.clone()));
    rescaled * rescale + mixed * (1.0 - rescale)
}

/// Standard deviation of each picture, `[images, 1, 1, 1]`.
fn deviation(x: Tensor<4>) -> Tensor<4> {
    let images = x.dims()[0];
    x.reshape([images as i32, -1])
        .var(1)
        .sqrt()
        .reshape([images, 1, 1, 1])
}
