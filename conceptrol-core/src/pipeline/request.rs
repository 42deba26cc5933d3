//! What is asked of a pipeline.

use std::{collections::BTreeSet, fmt, sync::Arc};

use burn::tensor::Tensor;

use crate::{
    cancel::Cancel,
    mask::ConceptMaskSource,
    models::scheduler::{SchedulerConfig, SchedulerOptions},
    pipeline::{ConceptRequest, Fidelity, Guidance, ImageSize, LoraRequest, PipelineError, Start},
    seam::{SiteSelector, StepWindow},
};

/// How reference pictures act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Mode {
    /// Where their words act.
    #[default]
    Conceptrol,
    /// Everywhere, as the plain adapter has it: IP-Adapter on Stable Diffusion, OminiControl on FLUX.
    Adapter,
    /// Not at all.
    TextOnly,
}

/// What a request has for one family only.
pub trait RequestExtra: fmt::Debug + Clone + Default + Send + Sync {
    /// The concepts, by index, at which something of it acts: their masks are read, and they need no reference.
    fn places(&self) -> Vec<usize> {
        Vec::new()
    }
}

impl RequestExtra for () {}

/// A generation. Every field means the same in every family; what is `None` is the family's own default, and `X` holds
/// what only one family has.
///
/// ```
/// use conceptrol_core::{StepWindow, pipeline::Request};
///
/// let request = Request::<()>::new("a cat on the beach").steps(30).seed(7).window(StepWindow::after_warmup(0.2)?);
/// assert_eq!(request.images(), 1);
/// # Ok::<(), conceptrol_core::InstallError>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Request<X = ()> {
    /// One or several prompts.
    pub prompts: Vec<String>,
    /// What is to be avoided: one for all prompts, or one each.
    pub negative_prompts: Option<Vec<String>>,
    /// Pictures per prompt.
    pub images_per_prompt: usize,
    /// The personalised concepts.
    pub concepts: Vec<ConceptRequest>,
    /// The low-rank adapters it uses of those that are kept apart.
    pub loras: Vec<LoraRequest>,
    /// How the concepts' pictures act.
    pub mode: Mode,
    /// Strength of the image condition.
    pub scale: f32,
    /// When it acts; before it the generation warms up without it. The steps of the whole schedule count, those that a
    /// picture to start from leaves out included.
    pub window: StepWindow,
    /// Strength outside the window: 0 for an IP-Adapter, the authors' 0.5 for OminiControl if `None`.
    pub outside: Option<f32>,
    /// Factors on the strength at some sites.
    pub site_scales: Vec<(SiteSelector, f32)>,
    /// Where masks come from; the model's concept block if `None`.
    pub mask_source: Option<Arc<dyn ConceptMaskSource>>,
    /// Whose details are followed where the paper and the authors' code differ.
    pub fidelity: Fidelity,
    /// A picture to start from instead of noise.
    pub start: Option<Start>,
    /// Number of steps of the whole schedule; of a picture to start from, its strength says how many of them are run.
    pub steps: Option<usize>,
    /// Guidance.
    pub guidance: Guidance,
    /// Another scheduler than the checkpoint's.
    pub scheduler: Option<SchedulerConfig>,
    /// What is asked of the scheduler beside the number of steps.
    pub scheduler_options: SchedulerOptions,
    /// Size of the pictures; of a picture to start from its own, rounded down to what the model can make, if `None`.
    pub size: Option<ImageSize>,
    /// Seed of the first picture; picture `i` has `seed + i`, so that it is the same alone.
    pub seed: u64,
    /// Noise of unit variance to start from instead of the seeds', `[images, channels, height, width]`.
    pub latents: Option<Tensor<4>>,
    /// Edge in pixels from which the autoencoder works in tiles.
    pub vae_tile: Option<usize>,
    /// Stops the generation when it is cancelled, from any thread.
    pub cancel: Cancel,
    /// What only one family has.
    pub extra: X,
}

impl<X: Default> Request<X> {
    /// A request for one picture of a prompt.
    pub fn new(prompt: impl Into<String>) -> Self {
        Self {
            prompts: vec![prompt.into()],
            negative_prompts: None,
            images_per_prompt: 1,
            concepts: Vec::new(),
            loras: Vec::new(),
            mode: Mode::default(),
            scale: 1.0,
            window: StepWindow::ALWAYS,
            outside: None,
            site_scales: Vec::new(),
            mask_source: None,
            fidelity: Fidelity::default(),
            start: None,
            steps: None,
            guidance: Guidance::default(),
            scheduler: None,
            scheduler_options: SchedulerOptions::default(),
            size: None,
            seed: 0,
            latents: None,
            vae_tile: None,
            cancel: Cancel::default(),
            extra: X::default(),
        }
    }
}

/// One setter a line: the field of the same name.
macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*) -> $value:expr;)*) => {$(
        $(#[$doc])*
        pub fn $name(mut self, $($argument: $type),*) -> Self {
            self.$name = $value;
            self
        }
    )*};
}

impl<X> Request<X> {
    setters! {
        /// Sets pictures per prompt.
        images_per_prompt(images: usize) -> images;
        /// Sets how reference pictures act.
        mode(mode: Mode) -> mode;
        /// Sets the strength of the image condition.
        scale(scale: f32) -> scale;
        /// Sets when the image condition acts.
        window(window: StepWindow) -> window;
        /// Sets the strength outside the window.
        outside(strength: f32) -> Some(strength);
        /// Sets where masks come from.
        mask_source(source: impl ConceptMaskSource + 'static) -> Some(Arc::new(source));
        /// Sets whose details are followed.
        fidelity(fidelity: Fidelity) -> fidelity;
        /// Sets a picture to start from.
        start(start: Start) -> Some(start);
        /// Sets the number of steps.
        steps(steps: usize) -> Some(steps);
        /// Sets another scheduler than the checkpoint's.
        scheduler(config: SchedulerConfig) -> Some(config);
        /// Sets what is asked of the scheduler beside the number of steps.
        scheduler_options(options: SchedulerOptions) -> options;
        /// Sets the size of the pictures.
        size(size: ImageSize) -> Some(size);
        /// Sets the seed of the first picture.
        seed(seed: u64) -> seed;
        /// Sets the noise to start from.
        latents(latents: Tensor<4>) -> Some(latents);
        /// Sets the edge in pixels from which the autoencoder works in tiles.
        vae_tile(edge: usize) -> Some(edge);
        /// Sets what can stop the generation.
        cancel(cancel: Cancel) -> cancel;
        /// Sets what only one family has.
        extra(extra: X) -> extra;
    }

    /// Adds a prompt.
    pub fn prompt(mut self, prompt: impl Into<String>) -> Self {
        self.prompts.push(prompt.into());
        self
    }

    /// Sets what all prompts are to avoid.
    pub fn negative_prompt(mut self, prompt: impl Into<String>) -> Self {
        self.negative_prompts = Some(vec![prompt.into()]);
        self
    }

    /// Adds a concept.
    pub fn concept(mut self, concept: ConceptRequest) -> Self {
        self.concepts.push(concept);
        self
    }

    /// Uses a low-rank adapter that is kept apart.
    pub fn lora(mut self, lora: LoraRequest) -> Self {
        self.loras.push(lora);
        self
    }

    /// Multiplies the strength of the image condition at some sites.
    pub fn site_scale(mut self, sites: SiteSelector, factor: f32) -> Self {
        self.site_scales.push((sites, factor));
        self
    }

    /// Sets the guidance scale.
    pub fn guidance_scale(mut self, scale: f64) -> Self {
        self.guidance.scale = Some(scale);
        self
    }

    /// Sets the scale of mixing in models that have guidance built in; see [`Guidance::true_cfg_scale`].
    pub fn true_cfg_scale(mut self, scale: f64) -> Self {
        self.guidance.true_cfg_scale = Some(scale);
        self
    }

    /// Sets the share of guidance rescaling.
    pub fn guidance_rescale(mut self, share: f64) -> Self {
        self.guidance.rescale = share;
        self
    }

    /// Pictures that are asked for.
    pub fn images(&self) -> usize {
        self.prompts.len().saturating_mul(self.images_per_prompt)
    }

    /// The size that is asked for, or that of the picture it starts from, in multiples of so many pixels.
    pub fn own_size(&self, multiple: usize) -> Option<ImageSize> {
        let start = self.start.as_ref();
        (self.size).or_else(|| start.and_then(|start| start.size(multiple)))
    }

    /// Checks everything that needs no model.
    pub(super) fn check(&self) -> Result<(), PipelineError> {
        let refuse = |name, value: String, expected: &str| {
            Err(PipelineError::bad_request(name, value, expected))
        };
        if self.prompts.is_empty() {
            return refuse("the number of prompts", "0".into(), "at least 1");
        }
        if self.images_per_prompt == 0 {
            return refuse("the number of images", "0".into(), "at least 1");
        }
        let negative = self.negative_prompts.as_deref();
        check_count(
            "the number of negative prompts",
            negative,
            self.prompts.len(),
        )?;
        let scales = [
            ("the scale", Some(f64::from(self.scale))),
            (
                "the strength outside the window",
                self.outside.map(f64::from),
            ),
            ("the guidance scale", self.guidance.scale),
            ("the true_cfg_scale", self.guidance.true_cfg_scale),
        ];
        for (name, value) in scales {
            if let Some(value) = value.filter(|value| !value.is_finite()) {
                return refuse(name, value.to_string(), "finite");
            }
        }
        if let Some((_, factor)) = self.site_scales.iter().find(|(_, x)| !x.is_finite()) {
            return refuse("the scale of a site", factor.to_string(), "finite");
        }
        if !(0.0..=1.0).contains(&self.guidance.rescale) {
            let value = self.guidance.rescale.to_string();
            return refuse("the guidance rescale", value, "between 0 and 1");
        }
        if self.vae_tile == Some(0) {
            return refuse("the edge of a tile", "0".into(), "at least 1 pixel");
        }
        let mut strengths = (self.loras.iter()).flat_map(|lora| [lora.strength, lora.outside]);
        if let Some(strength) = strengths.find(|strength| !strength.is_finite()) {
            let value = strength.to_string();
            return refuse("the strength of a low-rank adapter", value, "finite");
        }
        self.start.iter().try_for_each(Start::check)?;
        self.concepts.iter().try_for_each(ConceptRequest::check)
    }
}

impl<X: RequestExtra> Request<X> {
    /// Whether reference pictures act at all.
    pub fn has_references(&self) -> bool {
        self.mode != Mode::TextOnly && self.conditioned().next().is_some()
    }

    /// The concepts that are to look like a reference: all but those that only say where something acts.
    pub fn conditioned(&self) -> impl Iterator<Item = &ConceptRequest> {
        let places = self.places();
        let concepts = self.concepts.iter().enumerate();
        let conditioned = concepts
            .filter(move |(index, concept)| concept.has_reference() || !places.contains(index));
        conditioned.map(|(_, concept)| concept)
    }

    /// The concepts, by index, at which low-rank adapters or what only this family has act.
    pub fn places(&self) -> BTreeSet<usize> {
        let loras = self.loras.iter().filter_map(|lora| lora.concept);
        loras.chain(self.extra.places()).collect()
    }
}

/// That there is one entry for all prompts, or one each, or none was given.
///
/// # Errors
///
/// [`PipelineError::BadRequest`] names `what`.
pub fn check_count(
    what: &'static str,
    entries: Option<&[String]>,
    prompts: usize,
) -> Result<(), PipelineError> {
    let Some(entries) = entries.filter(|entries| ![1, prompts].contains(&entries.len())) else {
        return Ok(());
    };
    let expected = match prompts {
        1 => "1".to_owned(),
        _ => format!("1 or {prompts}"),
    };
    Err(PipelineError::bad_request(what, entries.len(), expected))
}
