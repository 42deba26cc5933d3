//! What is asked of a pipeline.

use std::sync::Arc;

use burn::tensor::Tensor;
use conceptrol_core::{SiteSelector, StepWindow, mask::ConceptMaskSource, pipeline::Fidelity};

use crate::pipeline::{ConceptRequest, PipelineError};

use conceptrol_core::models::scheduler::{SchedulerConfig, SchedulerOptions};

/// How reference pictures act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Where their words act.
    #[default]
    Conceptrol,
    /// Everywhere, as the plain adapter.
    IpAdapter,
    /// Not at all.
    TextOnly,
}

/// Classifier-free guidance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guidance {
    /// Scale; guidance is off, and costs nothing, at 1 and below.
    pub scale: f64,
    /// Share of the rescaling that keeps the contrast at high scales, 0 to 1.
    pub rescale: f64,
}

/// SDXL's picture sizes and crops, in pixels; what is `None` is the size of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MicroConditioning {
    /// Height and width of the picture that was scaled down to the target.
    pub original_size: Option<(usize, usize)>,
    /// Top and left of the crop.
    pub crop_top_left: (usize, usize),
    /// Height and width of the result.
    pub target_size: Option<(usize, usize)>,
}

/// A generation. Defaults are diffusers': 50 steps, guidance 7.5, the checkpoint's scheduler and
/// size, adapter scale 1.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Request {
    /// One or several prompts.
    pub prompts: Vec<String>,
    /// What the second text encoder of SDXL reads; the prompts themselves if empty.
    pub prompts_2: Vec<String>,
    /// What is to be avoided: one for all prompts, or one each. `None`: "" for SD1.5; for SDXL what
    /// the checkpoint asks for, usually zeros.
    pub negative_prompts: Option<Vec<String>>,
    /// What the second text encoder of SDXL reads of it; the same if `None`.
    pub negative_prompts_2: Option<Vec<String>>,
    /// Pictures per prompt.
    pub images_per_prompt: usize,
    /// The personalised concepts.
    pub concepts: Vec<ConceptRequest>,
    /// How their pictures act.
    pub mode: Mode,
    /// Strength of the image condition.
    pub scale: f32,
    /// When it acts; before it the generation warms up without it.
    pub window: StepWindow,
    /// Factors on the strength at some sites.
    pub site_scales: Vec<(SiteSelector, f32)>,
    /// Where masks come from; the model's concept block if `None`.
    pub mask_source: Option<Arc<dyn ConceptMaskSource>>,
    /// Timing of masks and finding of words.
    pub fidelity: Fidelity,
    /// Number of steps.
    pub steps: usize,
    /// Guidance.
    pub guidance: Guidance,
    /// Another scheduler than the checkpoint's.
    pub scheduler: Option<SchedulerConfig>,
    /// What is asked of the scheduler beside the number of steps.
    pub scheduler_options: SchedulerOptions,
    /// Width and height in pixels.
    pub size: Option<(usize, usize)>,
    /// Seed of the first picture; picture `i` has `seed + i`, so that it is the same alone.
    pub seed: u64,
    /// Noise to start from instead of the seeds', `[pictures, channels, height, width]`.
    pub latents: Option<Tensor<4>>,
    /// Layers of the text encoder to leave out at its end.
    pub clip_skip: usize,
    /// SDXL's picture sizes.
    pub micro: MicroConditioning,
    /// SDXL's picture sizes of the unconditional half; the same as `micro` if `None`.
    pub negative_micro: Option<MicroConditioning>,
    /// Edge in pixels from which the autoencoder works in tiles.
    pub vae_tile: Option<usize>,
}

impl Request {
    /// A request for one picture of a prompt.
    pub fn new(prompt: impl Into<String>) -> Self {
        Self {
            prompts: vec![prompt.into()],
            prompts_2: Vec::new(),
            negative_prompts: None,
            negative_prompts_2: None,
            images_per_prompt: 1,
            concepts: Vec::new(),
            mode: Mode::default(),
            scale: 1.0,
            window: StepWindow::ALWAYS,
            site_scales: Vec::new(),
            mask_source: None,
            fidelity: Fidelity::default(),
            steps: 50,
            guidance: Guidance {
                scale: 7.5,
                rescale: 0.0,
            },
            scheduler: None,
            scheduler_options: SchedulerOptions::default(),
            size: None,
            seed: 0,
            latents: None,
            clip_skip: 0,
            micro: MicroConditioning::default(),
            negative_micro: None,
            vae_tile: None,
        }
    }

    /// Adds a concept.
    pub fn concept(mut self, concept: ConceptRequest) -> Self {
        self.concepts.push(concept);
        self
    }

    /// Sets the mode.
    pub const fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Sets the strength of the image condition.
    pub const fn scale(mut self, scale: f32) -> Self {
        self.scale = scale;
        self
    }

    /// Sets when the image condition acts.
    pub const fn window(mut self, window: StepWindow) -> Self {
        self.window = window;
        self
    }

    /// Sets the number of steps.
    pub const fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Sets the guidance scale.
    pub const fn guidance_scale(mut self, scale: f64) -> Self {
        self.guidance.scale = scale;
        self
    }

    /// Sets the seed of the first picture.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Pictures that are asked for.
    pub const fn images(&self) -> usize {
        self.prompts.len() * self.images_per_prompt
    }

    /// Whether there is an unconditional half.
    pub fn is_guided(&self) -> bool {
        self.guidance.scale > 1.0
    }

    /// Checks everything that needs no model.
    pub(crate) fn check(&self) -> Result<(), PipelineError> {
        if self.prompts.is_empty() {
            return Err(PipelineError::bad_request(
                "the number of prompts",
                0,
                "at least 1",
            ));
        }
        if self.images_per_prompt == 0 {
            return Err(PipelineError::bad_request(
                "the number of images",
                0,
                "at least 1",
            ));
        }
        for (name, others) in [
            (
                "the number of second prompts",
                Some(&self.prompts_2).filter(|prompts| !prompts.is_empty()),
            ),
            (
                "the number of negative prompts",
                self.negative_prompts.as_ref(),
            ),
            (
                "the number of second negative prompts",
                self.negative_prompts_2.as_ref(),
            ),
        ] {
            let Some(others) = others else { continue };
            if others.len() != 1 && others.len() != self.prompts.len() {
                return Err(PipelineError::bad_request(
                    name,
                    others.len(),
                    format!("1 or {}", self.prompts.len()),
                ));
            }
        }
        if !self.scale.is_finite() {
            return Err(PipelineError::bad_request(
                "the scale",
                self.scale,
                "finite",
            ));
        }
        if !self.guidance.scale.is_finite() {
            return Err(PipelineError::bad_request(
                "the guidance scale",
                self.guidance.scale,
                "finite",
            ));
        }
        if !(0.0..=1.0).contains(&self.guidance.rescale) {
            return Err(PipelineError::bad_request(
                "the guidance rescale",
                self.guidance.rescale,
                "between 0 and 1",
            ));
        }
        if self.vae_tile == Some(0) {
            return Err(PipelineError::bad_request(
                "the edge of a tile",
                0,
                "at least 1 pixel",
            ));
        }
        self.concepts.iter().try_for_each(ConceptRequest::check)
    }
}
