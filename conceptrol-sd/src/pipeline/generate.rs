//! A whole generation in one call.

use burn::tensor::Tensor;
use conceptrol_core::{AttentionPlan, Captures, models::tokenizer::Truncation};
use image::RgbImage;

use crate::pipeline::{FoundConcept, Observer, PipelineError, Request, StableDiffusion};

/// The outcome of a generation.
#[derive(Debug)]
#[non_exhaustive]
pub struct Generation {
    /// The pictures: those of the first prompt, then those of the next.
    pub images: Vec<RgbImage>,
    /// Their latents, `[images, channels, height, width]`.
    pub latents: Tensor<4>,
    /// Where the words of each concept were found: `[prompt][concept]`.
    pub found: Vec<Vec<FoundConcept>>,
    /// What the text encoder did not see of each prompt.
    pub cut: Vec<Option<Truncation>>,
    /// What capture layers recorded.
    pub captures: Captures,
}

impl StableDiffusion {
    /// Carries out a request.
    ///
    /// # Errors
    ///
    /// [`PipelineError`]; everything a caller can cause is found before the first step.
    pub fn generate(
        &self,
        request: &Request,
        observer: &mut dyn Observer,
    ) -> Result<Generation, PipelineError> {
        request.check()?;
        self.generate_with(&self.plan(request)?, request, observer)
    }

    /// Carries out a request with a plan of your own; the request's mode, mask source and site
    /// scales are then the plan's business.
    ///
    /// # Errors
    ///
    /// As [`generate`](Self::generate).
    pub fn generate_with(
        &self,
        plan: &AttentionPlan,
        request: &Request,
        observer: &mut dyn Observer,
    ) -> Result<Generation, PipelineError> {
        let conditioning = self.condition(request)?;
        let (latents, captures) = self.denoise(plan, request, &conditioning, observer)?;
        let images = self.pictures(latents.clone(), request.vae_tile)?;
        let (found, cut) = (conditioning.found, conditioning.cut);
        Ok(Generation {
            images,
            latents,
            found,
            cut,
            captures,
        })
    }
}
