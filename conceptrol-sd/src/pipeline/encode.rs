//! Prompts as the UNet takes them.

use burn::tensor::Tensor;
use conceptrol_core::{
    ReferenceTokens, RowRole,
    pipeline::{Fidelity, Frame, PipelineError},
};

use crate::{
    pipeline::{Control, Extra, Request, StableDiffusion},
    text::{PromptStates, Prompts},
    unet::AddedConditions,
};

/// The encoded prompts of a request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Encoded {
    /// States of the prompts, `[prompts, ..]`.
    pub prompt: PromptStates,
    /// States of the negative prompts, `[prompts, ..]`, with guidance.
    pub negative: Option<PromptStates>,
    /// Text states of every row, `[rows, tokens, context]`.
    pub context: Tensor<3>,
    /// SDXL's further conditions of every row.
    pub added: Option<AddedConditions>,
    /// The authors' plain adapter splits off the last picture only; the others act as words: text states and image tokens of
    /// every row, `[rows, tokens, context]`, where that is so.
    pub(super) pictures_as_words: Option<Tensor<3>>,
    /// The controls that act.
    pub controls: Vec<Control>,
    /// Latents of the picture to edit for every row, `[rows, channels, height, width]`.
    pub picture: Option<Tensor<4>>,
}

impl Encoded {
    /// What the UNet takes for these latents: with those of the picture to edit behind them, if there is one.
    ///
    /// # Shapes
    ///
    /// `[rows, channels, height, width]` -> `[rows, in_channels, height, width]`
    pub fn unet_input(&self, latents: Tensor<4>) -> Tensor<4> {
        match &self.picture {
            None => latents,
            Some(picture) => Tensor::cat(vec![latents, picture.clone()], 1),
        }
    }
}

impl StableDiffusion {
    /// The text states of all rows, and what goes with them.
    pub(super) fn encode_text(
        &self,
        request: &Request,
        frame: &Frame,
        references: &[Option<ReferenceTokens>],
    ) -> Result<Encoded, PipelineError> {
        let text = self.text_encoders_for(request)?;
        let parts = &self.text_parts;
        let (extra, count) = (&request.extra, request.prompts.len());
        let prompts_2 = match extra.prompts_2.as_slice() {
            [] => &request.prompts,
            prompts => prompts,
        };
        let negative = request.negative_prompts.clone();
        let zeros = negative.is_none() && parts.is_dual() && self.force_zeros;
        let negative = negative.unwrap_or_else(|| vec![String::new()]);
        let negative_2 = extra.negative_prompts_2.as_ref().unwrap_or(&negative);
        let halves = [[&request.prompts, prompts_2], [&negative, negative_2]];
        let [positive, negative] = halves.map(|half| half.map(|prompts| spread(prompts, count)));
        let encoded = frame.batch.is_guided() && !zeros;
        let chunks = match encoded {
            true => parts.chunks(prompts(&negative, extra, 1))?,
            false => 1,
        };
        let chunks = parts.chunks(prompts(&positive, extra, chunks))?;
        let prompt = text.encode(parts, prompts(&positive, extra, chunks))?;
        let negative = match frame.batch.is_guided() {
            false => None,
            true if zeros => Some(PromptStates {
                context: prompt.context.zeros_like(),
                pooled: prompt.pooled.as_ref().map(Tensor::zeros_like),
            }),
            true => Some(text.encode(parts, prompts(&negative, extra, chunks))?),
        };

        let unconditional = negative.as_ref().map(|states| states.context.clone());
        let context = frame.rows(unconditional, prompt.context.clone());
        let pictures_as_words = match references {
            [before @ .., _] if request.fidelity == Fidelity::Authors && !before.is_empty() => {
                let before = before
                    .iter()
                    .flatten()
                    .map(|tokens| tokens.rows(frame.batch));
                let all = std::iter::once(context.clone()).chain(before);
                Some(Tensor::cat(all.collect(), 1))
            }
            _ => None,
        };
        Ok(Encoded {
            added: self.added(request, frame, &prompt, negative.as_ref()),
            prompt,
            negative,
            context,
            pictures_as_words,
            controls: self.encode_controls(request, frame)?,
            picture: self.encode_edit(request, frame)?,
        })
    }

    /// SDXL's pooled text and picture sizes for every row.
    fn added(
        &self,
        request: &Request,
        frame: &Frame,
        prompt: &PromptStates,
        negative: Option<&PromptStates>,
    ) -> Option<AddedConditions> {
        self.unet_config().added.as_ref()?;
        let unconditional = negative.and_then(|states| states.pooled.clone());
        let text_embeds = frame.rows(unconditional, prompt.pooled.clone()?);
        let extra = &request.extra;
        let negative_micro = extra.negative_micro.unwrap_or(extra.micro);
        let time_ids = frame.batch.roles().iter().flat_map(|role| {
            let micro = match role {
                RowRole::Unconditional => negative_micro,
                _ => extra.micro,
            };
            let row = micro.time_ids(frame.size).to_vec();
            std::iter::repeat_n(row, frame.batch.images)
        });
        Some(AddedConditions {
            text_embeds,
            time_ids: time_ids.collect(),
        })
    }
}

/// What both encoders read, in at least this many chunks.
fn prompts<'a>(
    [first, second]: &'a [Vec<&'a str>; 2],
    extra: &Extra,
    chunks: usize,
) -> Prompts<'a> {
    Prompts {
        first,
        second,
        reading: extra.reading,
        chunks,
        clip_skip: extra.clip_skip,
    }
}

/// One entry for all, or one each.
fn spread(prompts: &[String], count: usize) -> Vec<&str> {
    (0..count)
        .map(|index| prompts[index.min(prompts.len() - 1)].as_str())
        .collect()
}
