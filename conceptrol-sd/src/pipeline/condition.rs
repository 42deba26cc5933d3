//! Everything the denoising loop is conditioned on, computed once before it.

use burn::tensor::{DType, Device, Tensor};
use conceptrol_core::{
    BatchLayout, Concept, ReferenceTokens, models::tokenizer::Truncation, pipeline::Fidelity,
};

use crate::{
    pipeline::{
        ConceptRequest, FoundConcept, MicroConditioning, Mode, PipelineError, Request,
        StableDiffusion, concept::find_concepts,
    },
    text::PromptStates,
    unet::{AddedConditions, UNetError},
};

/// The encoded prompts and pictures of a request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Conditioning {
    /// States of the prompts, `[prompts, ..]`.
    pub prompt: PromptStates,
    /// States of the negative prompts, `[prompts, ..]`, with guidance.
    pub negative: Option<PromptStates>,
    /// Tokens of each concept's picture, in the order of the request.
    pub image_tokens: Vec<ReferenceTokens>,
    /// Where the words of each concept are: `[prompt][concept]`.
    pub found: Vec<Vec<FoundConcept>>,
    /// What the text encoder did not see of each prompt.
    pub cut: Vec<Option<Truncation>>,
    /// The rows of the generation.
    pub batch: BatchLayout,
    /// Text states of every row, `[rows, tokens, context]`.
    pub context: Tensor<3>,
    /// SDXL's further conditions of every row.
    pub added: Option<AddedConditions>,
    /// The concepts of the session.
    pub concepts: Vec<Concept>,
    /// Width and height of the pictures in pixels.
    pub size: (usize, usize),
}

impl StableDiffusion {
    /// Encodes prompts and reference pictures.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] for a request that cannot be carried out: everything a caller can cause
    /// is found here, before the first step.
    pub fn condition(&self, request: &Request) -> Result<Conditioning, PipelineError> {
        request.check()?;
        let size = self.size(request)?;
        let images = request.images();
        let batch = if request.is_guided() {
            BatchLayout::guided(images)
        } else {
            BatchLayout::unguided(images)
        };

        let (prompt, negative, found, cut) = self.encode_text(request)?;
        self.check_text(&prompt)?;
        let image_tokens = self.encode_references(request)?;
        let mut concepts = concepts(request, &found, &image_tokens);

        let each = request.images_per_prompt;
        let mut context = rows(
            negative.as_ref().map(|states| &states.context),
            &prompt.context,
            each,
        );
        if request.mode == Mode::IpAdapter
            && request.fidelity == Fidelity::Authors
            && concepts.len() > 1
        {
            // The authors' plain adapter splits off the last picture only; the others act as words.
            let last = concepts.len() - 1;
            concepts.drain(..last);
            let as_words = image_tokens[..last].iter().map(|tokens| tokens.rows(batch));
            context = Tensor::cat(std::iter::once(context).chain(as_words).collect(), 1);
        }
        let added = self.added(request, &prompt, negative.as_ref(), size);
        Ok(Conditioning {
            prompt,
            negative,
            image_tokens,
            found,
            cut,
            batch,
            context,
            added,
            concepts,
            size,
        })
    }

    /// Width and height of the pictures.
    fn size(&self, request: &Request) -> Result<(usize, usize), PipelineError> {
        /// No picture is wider or higher than this many pixels.
        const MAX_EDGE: usize = 16_384;
        let (width, height) = request.size.unwrap_or_else(|| self.default_size());
        let factor = self.vae_config().downscale();
        for (name, value) in [("the width", width), ("the height", height)] {
            if value == 0 || value % factor != 0 || value > MAX_EDGE {
                let expected = format!("a multiple of {factor} between {factor} and {MAX_EDGE}");
                return Err(PipelineError::bad_request(name, value, expected));
            }
        }
        Ok((width, height))
    }

    #[expect(
        clippy::type_complexity,
        reason = "four parts that only `condition` puts together"
    )]
    fn encode_text(
        &self,
        request: &Request,
    ) -> Result<
        (
            PromptStates,
            Option<PromptStates>,
            Vec<Vec<FoundConcept>>,
            Vec<Option<Truncation>>,
        ),
        PipelineError,
    > {
        let text = self.text_encoders()?;
        let found = find_concepts(
            &request.prompts,
            &request.concepts,
            text.tokenizer(),
            request.fidelity,
        )?;
        let cut = request
            .prompts
            .iter()
            .map(|prompt| text.tokenize(prompt).cut)
            .collect();

        let count = request.prompts.len();
        let prompts_2 = if request.prompts_2.is_empty() {
            &request.prompts
        } else {
            &request.prompts_2
        };
        let prompt = text.encode(
            &request.prompts,
            &spread(prompts_2, count),
            request.clip_skip,
        )?;
        let negative = match &request.negative_prompts {
            _ if !request.is_guided() => None,
            None if text.is_dual() && self.force_zeros => Some(PromptStates {
                context: prompt.context.zeros_like(),
                pooled: prompt.pooled.as_ref().map(Tensor::zeros_like),
            }),
            negative => {
                let negative = negative.clone().unwrap_or_else(|| vec![String::new()]);
                let negative_2 = request.negative_prompts_2.as_ref().unwrap_or(&negative);
                Some(text.encode(
                    &spread(&negative, count),
                    &spread(negative_2, count),
                    request.clip_skip,
                )?)
            }
        };
        Ok((prompt, negative, found, cut))
    }

    /// That the text encoders are those of the UNet, before it is loaded.
    fn check_text(&self, states: &PromptStates) -> Result<(), UNetError> {
        let config = self.unet_config();
        let expect = |input, found, expected| {
            let wrong = UNetError::WrongInput {
                input,
                axis: "channels",
                found,
                expected,
            };
            (found == expected).then_some(()).ok_or(wrong)
        };
        let [_, _, width] = states.context.dims();
        expect("the text", width, config.context_dim)?;
        let Some(added) = &config.added else {
            return Ok(());
        };
        let pooled = states
            .pooled
            .as_ref()
            .ok_or(UNetError::MissingAddedConditions)?;
        let sizes = time_ids(MicroConditioning::default(), (0, 0)).len() * added.sinusoid_dim;
        let found = pooled.dims()[1] + sizes;
        expect("pooled text with picture sizes", found, added.input_dim)
    }

    /// SDXL's pooled text and picture sizes for every row.
    fn added(
        &self,
        request: &Request,
        prompt: &PromptStates,
        negative: Option<&PromptStates>,
        size: (usize, usize),
    ) -> Option<AddedConditions> {
        self.unet_config().added.as_ref()?;
        let each = request.images_per_prompt;
        let text_embeds = rows(
            negative.and_then(|states| states.pooled.as_ref()),
            prompt.pooled.as_ref()?,
            each,
        );
        let ids = |micro: MicroConditioning| vec![time_ids(micro, size); request.images()];
        let mut time_ids = if negative.is_some() {
            ids(request.negative_micro.unwrap_or(request.micro))
        } else {
            Vec::new()
        };
        time_ids.extend(ids(request.micro));
        Some(AddedConditions {
            text_embeds,
            time_ids,
        })
    }
}

/// The session's concepts: words of each prompt repeated for each of its pictures.
fn concepts(
    request: &Request,
    found: &[Vec<FoundConcept>],
    references: &[ReferenceTokens],
) -> Vec<Concept> {
    let one = |(index, asked): (usize, &ConceptRequest)| {
        let spans: Vec<_> = found
            .iter()
            .flat_map(|found| {
                let ranges: Vec<_> = found[index].spans.iter().map(|span| span.range()).collect();
                std::iter::repeat_n(ranges, request.images_per_prompt)
            })
            .collect();
        let nowhere = spans.iter().all(Vec::is_empty);
        let mut concept =
            Concept::new(&asked.name, if nowhere { Vec::new() } else { spans }).scale(asked.scale);
        concept.reference = references.get(index).cloned();
        concept.mask = asked.mask.clone();
        concept
    };
    request.concepts.iter().enumerate().map(one).collect()
}

/// One entry for all, or one each.
fn spread(prompts: &[String], count: usize) -> Vec<&str> {
    (0..count)
        .map(|index| prompts[index.min(prompts.len() - 1)].as_str())
        .collect()
}

/// Unconditional rows before conditional ones, each prompt's repeated for its pictures.
fn rows<const D: usize>(
    negative: Option<&Tensor<D>>,
    prompt: &Tensor<D>,
    each: usize,
) -> Tensor<D> {
    let all: Vec<_> = negative
        .into_iter()
        .chain([prompt])
        .map(|states| interleave(states.clone(), each))
        .collect();
    Tensor::cat(all, 0)
}

/// Every row `each` times, one after the other.
fn interleave<const D: usize>(x: Tensor<D>, each: usize) -> Tensor<D> {
    if each == 1 {
        return x;
    }
    let rows = x.clone().split(1, 0).into_iter();
    Tensor::cat(
        rows.flat_map(|row| std::iter::repeat_n(row, each))
            .collect(),
        0,
    )
}

/// Original height and width, top and left of the crop, target height and width.
#[expect(clippy::cast_precision_loss, reason = "picture sizes are exact in f32")]
fn time_ids(micro: MicroConditioning, (width, height): (usize, usize)) -> Vec<f32> {
    let (original_height, original_width) = micro.original_size.unwrap_or((height, width));
    let (top, left) = micro.crop_top_left;
    let (target_height, target_width) = micro.target_size.unwrap_or((height, width));
    [
        original_height,
        original_width,
        top,
        left,
        target_height,
        target_width,
    ]
    .map(|size| size as f32)
    .into()
}

/// Standard normal latents for each picture from its own generator.
pub(super) fn seeded_noise(
    generators: &mut [conceptrol_core::models::noise::Generator],
    [_, channels, height, width]: [usize; 4],
    device: &Device,
) -> Tensor<4> {
    let shape = [1, channels, height, width];
    let pictures = generators.iter_mut().map(|generator| {
        let data = burn::tensor::TensorData::new(generator.randn(&shape), shape);
        Tensor::from_data(data, (device, DType::F32))
    });
    Tensor::cat(pictures.collect(), 0)
}
