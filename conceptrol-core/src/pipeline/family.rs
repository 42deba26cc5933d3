//! What a family of models writes to become a pipeline.

use std::{fmt, sync::Arc};

use burn::tensor::{Device, FloatDType, Tensor};

use crate::{
    concept::{Concept, ReferenceTokens, Token},
    mask::{ConceptBlock, ConceptMask},
    models::{noise::NoiseDtype, scheduler::SchedulerConfig, tokenizer::EncodedPrompt},
    pipeline::{
        Fidelity, Gating, GuidanceRule, ImageSize, Loras, Mode, PipelineError, Request,
        RequestExtra, Seeds,
    },
    seam::{
        AttentionPlanBuilder, AttentionSites, BatchLayout, Session, SiteKind, SiteSelector,
        StepInfo,
    },
};

/// A family of text-to-image models: Stable Diffusion, FLUX, your own.
///
/// A family says what it is made of ([`profile`](Self::profile)), how prompts and pictures are encoded, what one
/// evaluation of its denoiser is, and how latents become pictures. Requests, concepts and their words, masks, seeds,
/// guidance, schedulers, the denoising loop, cancelling and checks are [`Pipeline`](super::Pipeline)'s, which every family
/// is. `docs/design.md` tells how to add one; `tests/toy_family/toy.rs` does so in less than 200 lines.
pub trait Family: fmt::Debug + Send + Sync {
    /// What a request has for this family only.
    type Extra: RequestExtra;
    /// Prompts and pictures as the denoiser takes them.
    type Encoded: fmt::Debug + Clone + Send + Sync;
    /// The model that is evaluated at every step.
    type Denoiser: Send + Sync;

    /// The facts every pipeline needs.
    fn profile(&self) -> &Profile;

    /// The model's concept block, if it is known.
    fn concept_block(&self, fidelity: Fidelity) -> Option<ConceptBlock>;

    /// Number of adapters that can carry concepts.
    fn adapters(&self) -> usize;

    /// Its low-rank adapters, if it can have any.
    fn loras(&self) -> Option<&Loras> {
        None
    }

    /// A prompt as the encoder whose tokens attention sees splits it.
    ///
    /// # Errors
    ///
    /// A prompt that cannot be spelled.
    fn tokenize(&self, prompt: &str, extra: &Self::Extra) -> Result<EncodedPrompt, PipelineError>;

    /// A phrase in the same pieces, without start, end and padding.
    ///
    /// # Errors
    ///
    /// A phrase that cannot be spelled.
    fn phrase(&self, phrase: &str) -> Result<Vec<Token>, PipelineError>;

    /// Checks what only this family has, before anything is computed.
    ///
    /// # Errors
    ///
    /// [`PipelineError::BadRequest`] or [`PipelineError::Unsupported`].
    fn check(&self, request: &Request<Self::Extra>) -> Result<(), PipelineError> {
        let _ = request;
        Ok(())
    }

    /// The size of the pictures: the request's, or else that of a picture to start from, or else the default.
    fn size(&self, request: &Request<Self::Extra>) -> ImageSize {
        let profile = self.profile();
        let own = request.own_size(profile.multiple);
        own.unwrap_or(profile.defaults.size)
    }

    /// What is evaluated for each picture and how it becomes one prediction: mixing, as far as the request and the
    /// [profile](Profile::mixes_guidance) say so.
    fn guidance(&self, request: &Request<Self::Extra>) -> GuidanceRule {
        GuidanceRule::of(&request.guidance, self.profile())
    }

    /// Adds the layers of the adapters that the request's concepts use, inside those that the builder has.
    ///
    /// # Errors
    ///
    /// An adapter that cannot be loaded or does not fit.
    fn install<'a>(
        &self,
        builder: AttentionPlanBuilder<'a>,
        request: &Request<Self::Extra>,
    ) -> Result<AttentionPlanBuilder<'a>, PipelineError>;

    /// Encodes prompts, and the reference pictures of concepts that have one. The result serves every [`Mode`].
    ///
    /// # Errors
    ///
    /// Parts that cannot be loaded or do not fit each other.
    fn encode(
        &self,
        request: &Request<Self::Extra>,
        frame: &Frame,
        seeds: &mut Seeds,
    ) -> Result<Encoding<Self::Encoded>, PipelineError>;

    /// The concepts of a session in this mode; all of them unless the family reads it otherwise.
    fn concepts_of(&self, request: &Request<Self::Extra>, concepts: &[Concept]) -> Vec<Concept> {
        let _ = request;
        concepts.to_vec()
    }

    /// What a request is denoised with, loaded if it is not there. It is held while steps are computed.
    ///
    /// # Errors
    ///
    /// Those of loading it.
    fn denoiser(
        &self,
        request: &Request<Self::Extra>,
    ) -> Result<Arc<Self::Denoiser>, PipelineError>;

    /// One evaluation of the denoiser for every row, `[rows, channels, height, width]` in the type of its input. Every
    /// attention goes through `session`.
    ///
    /// # Errors
    ///
    /// Those of attention processors.
    fn predict(
        &self,
        denoiser: &Self::Denoiser,
        evaluation: Evaluation<'_, Self::Encoded>,
        session: &mut Session,
    ) -> Result<Tensor<4>, PipelineError>;

    /// A picture to the latents it is made from, in f32, scaled as the denoiser takes them: the mean of the autoencoder's
    /// posterior, or with standard normal `noise` a sample of it; in tiles of `tile` pixels if given.
    ///
    /// # Shapes
    ///
    /// `[images, 3, height, width]`, values in -1..=1 -> `[images, channels, height / downscale, width / downscale]`, the shape
    /// of `noise`, which may be of more pictures where one was given
    ///
    /// # Errors
    ///
    /// Those of loading the autoencoder; [`PipelineError::Unsupported`] if the family cannot.
    fn encode_picture(
        &self,
        pixels: Tensor<4>,
        noise: Option<Tensor<4>>,
        tile: Option<usize>,
    ) -> Result<Tensor<4>, PipelineError> {
        let _ = (pixels, noise, tile);
        Err(PipelineError::Unsupported {
            family: self.profile().name,
            what: "pictures to start from".into(),
        })
    }

    /// What a denoiser of [`InputKind::Region`] takes beside the latents: the `region` that is to be repainted, a mask of
    /// ones and zeros over the pixels of the picture, and the latents of the `rest` of it.
    ///
    /// # Shapes
    ///
    /// `rest` `[images, channels, height, width]` -> `[images, further channels, height, width]`
    ///
    /// # Errors
    ///
    /// [`PipelineError::Unsupported`] if the family has no such denoiser.
    fn around(&self, region: &ConceptMask, rest: Tensor<4>) -> Result<Tensor<4>, PipelineError> {
        let _ = (region, rest);
        Err(PipelineError::Unsupported {
            family: self.profile().name,
            what: "denoiser that repaints a region".into(),
        })
    }

    /// Latents to pictures with values of about -1..=1, in f32; in tiles of `tile` pixels if given.
    ///
    /// # Shapes
    ///
    /// `[images, channels, height, width]` -> `[images, 3, height, width]`
    ///
    /// # Errors
    ///
    /// Those of loading the autoencoder, and latents with another number of channels.
    fn decode(&self, latents: Tensor<4>, tile: Option<usize>) -> Result<Tensor<4>, PipelineError>;

    /// About how many bytes a generation needs beyond what is in memory already; `None` if that is not known.
    fn memory(&self, request: &Request<Self::Extra>, frame: &Frame) -> Option<u64> {
        let _ = (request, frame);
        None
    }
}

/// What a denoiser reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum InputKind {
    /// Latents.
    #[default]
    Latents,
    /// Latents, a region of a picture, and the rest of that picture: it repaints the region, and nothing else can be asked of
    /// it. `UNet`s of 9 channels, FLUX Fill.
    Region,
    /// Latents, and those of a picture to edit beside them: it edits by instruction, and nothing else can be asked of it.
    /// `UNet`s of 8 channels.
    Edit,
}

/// The facts about a family that every pipeline needs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Profile {
    /// What messages call it.
    pub name: &'static str,
    /// The attention sites of the denoiser.
    pub sites: AttentionSites,
    /// The sites at which image conditions go in, and where Conceptrol is installed.
    pub conditioned: SiteSelector,
    /// Where it runs.
    pub device: Device,
    /// The type it computes in.
    pub dtype: FloatDType,
    /// The type noise is drawn in.
    pub noise: NoiseDtype,
    /// The checkpoint's scheduler.
    pub scheduler: SchedulerConfig,
    /// What the denoiser reads.
    pub input: InputKind,
    /// Channels of the latents.
    pub latent_channels: usize,
    /// Pixels along a side of a latent cell.
    pub downscale: usize,
    /// What height and width must be multiples of, in pixels.
    pub multiple: usize,
    /// Most pixels of a side.
    pub max_edge: usize,
    /// Whether guidance mixes an unconditional and a conditional prediction; `false` for models that have none, or have it
    /// built in, which mix only where a request has a [`true_cfg_scale`](super::Guidance::true_cfg_scale).
    pub mixes_guidance: bool,
    /// How masks act on image conditions.
    pub gating: Gating,
    /// What requests leave open.
    pub defaults: Defaults,
}

/// What a family does when a request leaves it open.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Defaults {
    /// Size of a picture.
    pub size: ImageSize,
    /// Number of steps.
    pub steps: usize,
    /// Guidance scale.
    pub guidance: f64,
    /// Strength of the image condition outside the window.
    pub outside: f32,
}

impl Profile {
    /// A profile of a model whose latents have 4 channels and an eighth of the picture's height and width, with guidance
    /// that mixes; masks are [logits](Gating::Logits) if it has joint attention. Change what is otherwise.
    pub fn new(
        name: &'static str,
        sites: AttentionSites,
        conditioned: SiteSelector,
        device: Device,
        scheduler: SchedulerConfig,
    ) -> Self {
        let mut kinds = sites.iter().map(|site| site.kind);
        let gating = match kinds.any(|kind| kind == SiteKind::Joint) {
            true => Gating::Logits,
            false => Gating::Factor,
        };
        Self {
            name,
            sites,
            conditioned,
            device,
            scheduler,
            gating,
            dtype: FloatDType::F32,
            noise: NoiseDtype::F32,
            input: InputKind::Latents,
            latent_channels: 4,
            downscale: 8,
            multiple: 8,
            max_edge: 16_384,
            mixes_guidance: true,
            defaults: Defaults {
                size: ImageSize::square(512),
                steps: 50,
                guidance: 7.5,
                outside: 0.0,
            },
        }
    }

    /// A concept block at these sites, as masks are read there.
    pub fn block_at(&self, sites: SiteSelector) -> ConceptBlock {
        self.gating.block_at(sites)
    }
}

/// The outline of a generation, known before anything is computed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Frame {
    /// Size of the pictures.
    pub size: ImageSize,
    /// Rows of every tensor.
    pub batch: BatchLayout,
    /// The prompts in pieces.
    pub prompts: Vec<EncodedPrompt>,
    /// Channels, height and width of the latents of a picture.
    pub latent_shape: [usize; 3],
}

impl Frame {
    /// One row a prompt to one a picture: each prompt's for each of its pictures.
    ///
    /// # Shapes
    ///
    /// `[prompts, ..]` -> `[images, ..]`
    pub fn per_image<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let each = self.batch.images / self.prompts.len();
        if each == 1 {
            return x;
        }
        let rows = x.split(1, 0).into_iter();
        let repeated = rows.flat_map(|row| std::iter::repeat_n(row, each));
        Tensor::cat(repeated.collect(), 0)
    }

    /// One row a prompt to the rows of the batch, by their [roles](BatchLayout::roles).
    ///
    /// # Shapes
    ///
    /// `[prompts, ..]` each -> `[rows, ..]`
    ///
    /// # Panics
    ///
    /// Panics without `negative` where rows are unconditional.
    pub fn rows<const D: usize>(
        &self,
        negative: Option<Tensor<D>>,
        prompts: Tensor<D>,
    ) -> Tensor<D> {
        let negative = || self.per_image(negative.expect("guidance has negative prompts"));
        self.batch.by_role(&self.per_image(prompts), negative)
    }
}

/// What [`Family::encode`] made of prompts and pictures.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Encoding<E> {
    /// As the denoiser takes them.
    pub states: E,
    /// The tokens of each concept's picture, where they go in through a processor; empty if they never do.
    pub references: Vec<Option<ReferenceTokens>>,
}

impl<E> Encoding<E> {
    /// States alone, for families whose pictures are among them.
    pub const fn new(states: E) -> Self {
        Self {
            states,
            references: Vec::new(),
        }
    }

    /// Sets the tokens of each concept's picture.
    pub fn references(mut self, references: Vec<Option<ReferenceTokens>>) -> Self {
        self.references = references;
        self
    }
}

/// One evaluation of the denoiser.
#[derive(Debug)]
#[non_exhaustive]
pub struct Evaluation<'a, E> {
    /// Scaled latents of every row, in the profile's type, `[rows, channels, height, width]`; behind them the channels that
    /// the denoiser takes beside them, if there are any.
    pub latents: Tensor<4>,
    /// Where the generation stands.
    pub step: StepInfo,
    /// Guidance scale, for models that have it built in.
    pub guidance: f64,
    /// How reference pictures act.
    pub mode: Mode,
    /// Prompts and pictures.
    pub states: &'a E,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::concept::{PromptTokens, TokenStyle};

    #[test]
    fn the_pictures_of_a_prompt_follow_each_other() {
        let device = Device::flex();
        let frame = |prompts: usize, each: usize| Frame {
            size: ImageSize::square(8),
            batch: BatchLayout::guided(prompts * each),
            prompts: vec![
                EncodedPrompt {
                    ids: vec![0],
                    tokens: PromptTokens::new(Vec::new(), TokenStyle::Clip, 1),
                    truncated: None,
                };
                prompts
            ],
            latent_shape: [4, 1, 1],
        };
        let rows = |prompts, each| {
            let numbered: Vec<f32> = (0..2 * prompts as u16).map(f32::from).collect();
            let x = Tensor::<1>::from_floats(numbered.as_slice(), &device).reshape([prompts, 2]);
            let rows = frame(prompts, each).per_image(x).into_data();
            rows.try_to_vec::<f32>().expect("f32")
        };
        assert_eq!(rows(1, 1), [0.0, 1.0]);
        assert_eq!(rows(2, 1), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(rows(1, 3), [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
        let two_each = [[0.0, 1.0], [0.0, 1.0], [2.0, 3.0], [2.0, 3.0]];
        assert_eq!(rows(2, 2), two_each.as_flattened());
    }
}
