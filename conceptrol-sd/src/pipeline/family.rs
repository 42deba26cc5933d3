//! Stable Diffusion as a family.

use std::{collections::BTreeSet, sync::Arc};

use burn::tensor::{FloatDType, Tensor};
use conceptrol_core::{
    AttentionPlanBuilder, Concept, Grid, Session, SiteSelector, StepInfo, Token,
    mask::{ConceptBlock, ConceptMask, ResizeFilter},
    models::{autoencoder_kl::Tiling, tokenizer::EncodedPrompt},
    pipeline::{
        Encoding, Evaluation, Family, Fidelity, Frame, GuidanceRule, ImageSize, Loras, Mode,
        PipelineError, Profile, Seeds, check_count,
    },
};

use crate::{
    pipeline::{
        Encoded, Extra, Reading, Request, StableDiffusion,
        control::{LoadedNets, residuals},
        picture::own_size,
        references::check_reference,
    },
    unet::{Residuals, UNet2DConditionModel},
};

/// What a request is denoised with.
#[derive(Debug)]
pub struct Denoiser {
    unet: Arc<UNet2DConditionModel>,
    nets: LoadedNets,
}

impl Denoiser {
    /// What all controls of a request add at a step.
    ///
    /// # Shapes
    ///
    /// `latents`: `[rows, channels, height, width]`, scaled as the UNet takes them
    ///
    /// # Errors
    ///
    /// Inputs that do not fit the nets.
    pub fn residuals(
        &self,
        states: &Encoded,
        latents: &Tensor<4>,
        step: StepInfo,
        session: &mut Session,
    ) -> Result<Option<Residuals>, PipelineError> {
        residuals(&self.nets, states, latents, step, session)
    }
}

impl Family for StableDiffusion {
    type Extra = Extra;
    type Encoded = Encoded;
    type Denoiser = Denoiser;

    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn concept_block(&self, _fidelity: Fidelity) -> Option<ConceptBlock> {
        self.concept_block().cloned()
    }

    fn loras(&self) -> Option<&Loras> {
        Some(self.loras())
    }

    fn adapters(&self) -> usize {
        self.adapter_count()
    }

    fn tokenize(&self, prompt: &str, extra: &Extra) -> Result<EncodedPrompt, PipelineError> {
        self.text_parts.read(prompt, extra.reading)
    }

    fn phrase(&self, phrase: &str) -> Result<Vec<Token>, PipelineError> {
        Ok(self.text_parts.tokenizer().tokens(phrase))
    }

    fn check(&self, request: &Request) -> Result<(), PipelineError> {
        self.check_edit(request)?;
        self.check_controls(request)?;
        let extra = &request.extra;
        if let Some(what) = extra.sdxl_only().filter(|_| !self.text_parts.is_dual()) {
            return Err(PipelineError::Unsupported {
                family: "a model with one text encoder",
                what: what.into(),
            });
        }
        if request.fidelity == Fidelity::Authors && extra.reading != Reading::default() {
            return Err(PipelineError::Unsupported {
                family: "the authors' code",
                what: "long or weighted prompt".into(),
            });
        }
        let mut concepts = request.concepts.iter();
        if concepts.any(|concept| concept.negative_image.is_some()) {
            return Err(PipelineError::Unsupported {
                family: "Stable Diffusion",
                what: "negative picture: its ip-adapters have tokens of their own for none".into(),
            });
        }
        let prompts = request.prompts.len();
        let second = Some(extra.prompts_2.as_slice()).filter(|prompts| !prompts.is_empty());
        check_count("the number of second prompts", second, prompts)?;
        let negative = extra.negative_prompts_2.as_deref();
        check_count("the number of second negative prompts", negative, prompts)
    }

    fn size(&self, request: &Request) -> ImageSize {
        let extra = &request.extra;
        let control = extra.controls.first().map(|control| &control.image);
        let picture = extra.edit.as_ref().map(|edit| &edit.image).or(control);
        let multiple = self.profile.multiple;
        let start = request.start.as_ref();
        let start = || start.and_then(|start| start.size(multiple));
        let own = || picture.map(|picture| own_size(picture, multiple));
        let size = request.size.or_else(start).or_else(own);
        size.unwrap_or(self.profile.defaults.size)
    }

    fn guidance(&self, request: &Request) -> GuidanceRule {
        match &request.extra.edit {
            Some(edit) => edit.guidance(self.guidance_scale(request)),
            None => GuidanceRule::of(&request.guidance, &self.profile),
        }
    }

    fn install<'a>(
        &self,
        mut builder: AttentionPlanBuilder<'a>,
        request: &Request,
    ) -> Result<AttentionPlanBuilder<'a>, PipelineError> {
        let used: BTreeSet<usize> = (request.conditioned())
            .map(|concept| concept.adapter)
            .collect();
        for index in used {
            let adapter = self.adapter(index)?;
            let mut carried = request
                .conditioned()
                .filter(|concept| concept.adapter == index);
            carried.try_for_each(|concept| check_reference(concept, adapter.kind()))?;
            builder = match adapter.adaptation() {
                Some(adaptation) => builder.adapt(adaptation),
                None => builder,
            };
            let mut layer = adapter.layer().adapter(index);
            for (sites, scale) in &request.site_scales {
                layer = layer.site_scale(sites.clone(), *scale);
            }
            builder = builder.layer(SiteSelector::cross(), layer);
        }
        Ok(builder)
    }

    fn encode(
        &self,
        request: &Request,
        frame: &Frame,
        _seeds: &mut Seeds,
    ) -> Result<Encoding<Encoded>, PipelineError> {
        let references = self.encode_references(request)?;
        let states = self.encode_text(request, frame, &references)?;
        Ok(Encoding::new(states).references(references))
    }

    fn concepts_of(&self, request: &Request, concepts: &[Concept]) -> Vec<Concept> {
        let only_the_last = request.mode == Mode::Adapter && request.fidelity == Fidelity::Authors;
        let from = if only_the_last {
            concepts.len().saturating_sub(1)
        } else {
            0
        };
        concepts[from..].to_vec()
    }

    fn denoiser(&self, request: &Request) -> Result<Arc<Denoiser>, PipelineError> {
        Ok(Arc::new(Denoiser {
            unet: self.unet()?,
            nets: self.nets(request)?,
        }))
    }

    fn predict(
        &self,
        denoiser: &Denoiser,
        evaluation: Evaluation<'_, Encoded>,
        session: &mut Session,
    ) -> Result<Tensor<4>, PipelineError> {
        let states = evaluation.states;
        let context = match &states.pictures_as_words {
            Some(context) if evaluation.mode == Mode::Adapter => context,
            _ => &states.context,
        };
        let (latents, step) = (evaluation.latents, evaluation.step);
        let residuals = denoiser.residuals(states, &latents, step, session)?;
        Ok(denoiser.unet.controlled(
            states.unet_input(latents),
            step.timestep,
            context.clone(),
            states.added.clone(),
            residuals,
            session,
        )?)
    }

    fn memory(&self, request: &Request, frame: &Frame) -> Option<u64> {
        Some(self.footprint(request, frame))
    }

    fn encode_picture(
        &self,
        pixels: Tensor<4>,
        noise: Option<Tensor<4>>,
        tile: Option<usize>,
    ) -> Result<Tensor<4>, PipelineError> {
        let vae = self.vae()?;
        let dtype = self.vae_config().compute_dtype(self.profile.dtype);
        let tiling = tile.map(Tiling::new);
        let posterior = vae.encode(pixels.cast(dtype), tiling.as_ref())?;
        Ok(vae.scale(posterior.latents(noise)).cast(FloatDType::F32))
    }

    /// The region on the grid of the latents, then the rest.
    fn around(&self, region: &ConceptMask, rest: Tensor<4>) -> Result<Tensor<4>, PipelineError> {
        let [images, _, height, width] = rest.dims();
        let cells = region.resized(Grid::new(height, width), ResizeFilter::Nearest);
        let cells = cells.values().clone().reshape([1, 1, height, width]);
        Ok(Tensor::cat(vec![cells.repeat_dim(0, images), rest], 1))
    }

    fn decode(&self, latents: Tensor<4>, tile: Option<usize>) -> Result<Tensor<4>, PipelineError> {
        let vae = self.vae()?;
        let dtype = self.vae_config().compute_dtype(self.profile.dtype);
        let latents = vae.unscale(latents.cast(dtype));
        let tiling = tile.map(Tiling::new);
        Ok(vae.decode(latents, tiling.as_ref())?.cast(FloatDType::F32))
    }
}
