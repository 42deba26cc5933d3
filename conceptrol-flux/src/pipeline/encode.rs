//! Prompts and reference pictures as the transformer takes them.

use std::sync::Arc;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use conceptrol_core::{
    Grid,
    models::{
        clip_text::ClipTextModel,
        image::{Filter, RgbImage, image_to_tensor, resize},
        lora::{Deltas, Part},
        t5::T5Encoder,
        tokenizer::{ClipTokenizer, EncodedPrompt, T5Tokenizer},
    },
    pipeline::{Frame, ImageSize, PipelineError, Seeds},
};

use crate::latents::pack;
use crate::omini::{Condition, ConditionSize};
use crate::pipeline::{
    Flux, Kind, Request,
    sequence::{Outline, Reference, Sequence},
};

/// Prompts and reference pictures of a request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Encoded {
    /// The reference picture of every concept that has one in the sequence.
    pub conditions: Vec<Condition>,
    /// Token grid of the pictures.
    pub grid: Grid,
    /// With the reference pictures.
    pub(super) conditioned: Sequence,
    /// Without them, where there are any.
    pub(super) bare: Option<Sequence>,
}

impl Encoded {
    /// States of the text stream, padding and pictures in it included: `[rows, tokens, joint_attention_dim]`; with true CFG
    /// those of the negative prompts first.
    pub const fn text(&self) -> &Tensor<3> {
        &self.conditioned.text.tokens
    }

    /// CLIP's pooled state: `[rows, pooled_projection_dim]`.
    pub const fn pooled(&self) -> &Tensor<2> {
        &self.conditioned.text.pooled
    }

    /// The sequence with the reference pictures, or without.
    pub(super) fn sequence(&self, references: bool) -> &Sequence {
        match &self.bare {
            Some(bare) if !references => bare,
            _ => &self.conditioned,
        }
    }
}

/// The tokenizers of the two text encoders; small enough to be kept.
#[derive(Debug)]
pub struct Tokenizers {
    /// Splits the prompt for CLIP.
    pub clip: ClipTokenizer,
    /// Splits the prompt, and the words of concepts, for T5.
    pub t5: T5Tokenizer,
}

/// The two text encoders.
#[derive(Debug)]
pub struct PromptEncoders {
    /// Gives the pooled state.
    pub clip: ClipTextModel,
    /// Gives the state of every token.
    pub t5: T5Encoder,
}

impl PromptEncoders {
    /// T5 states `[prompts, tokens, d_model]` and CLIP's pooled states `[prompts, hidden_size]`.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] if tokenizers and encoders do not fit each other.
    pub fn encode(
        &self,
        tokenizers: &Tokenizers,
        prompts: &[String],
        pieces: &[EncodedPrompt],
        device: &Device,
    ) -> Result<(Tensor<3>, Tensor<2>), PipelineError> {
        let text = self.t5.forward(self.t5_ids(pieces, device)?)?;
        let ids: Vec<_> = (prompts.iter())
            .map(|prompt| tokenizers.clip.encode(prompt).ids)
            .collect();
        Ok((text, self.clip.forward(&ids)?.pooled()))
    }

    /// `[prompts, tokens]`, checked against the embedding table.
    fn t5_ids(
        &self,
        pieces: &[EncodedPrompt],
        device: &Device,
    ) -> Result<Tensor<2, Int>, PipelineError> {
        let expected = self.t5.config().vocab_size;
        let ids = || pieces.iter().flat_map(|prompt| prompt.ids.iter().copied());
        if let Some(found) = ids().find(|id| *id as usize >= expected) {
            return Err(PipelineError::Mismatch {
                part: "the T5 tokenizer",
                axis: "as a token id",
                found: found as usize,
                expected,
            });
        }
        let shape = [
            pieces.len(),
            pieces.first().map_or(0, |prompt| prompt.ids.len()),
        ];
        let data = TensorData::new(ids().map(i64::from).collect::<Vec<_>>(), shape);
        Ok(Tensor::from_data(data, (device, DType::I64)))
    }
}

impl Flux {
    pub(super) fn encode_request(
        &self,
        request: &Request,
        frame: &Frame,
        seeds: &mut Seeds,
    ) -> Result<Encoded, PipelineError> {
        let prompts = self.encode_text(request, frame)?;
        let references = self.read_references(request, seeds)?;
        let multiple = self.profile.multiple;
        let grid = Grid::new(frame.size.height / multiple, frame.size.width / multiple);
        let extra = &self.options.extra;
        let outline = Outline {
            config: self.config(),
            placement: (extra.placement).unwrap_or_else(|| self.kind().placement()),
            position_scale: extra.position_scale,
            rows: frame.batch.rows(),
            text_tokens: self.text_tokens(&request.extra),
            grid,
            device: &self.profile.device,
            dtype: self.profile.dtype,
        };
        let alone = prompts.alone(frame);
        let bare = || Sequence::new(outline, alone.clone(), &[]);
        let in_text = references.iter().filter_map(|reference| match reference {
            Reference::InText(condition) => Some(condition.tokens.clone()),
            Reference::Beside(_) => None,
        });
        let in_text: Vec<_> = in_text.collect();
        let text = match in_text.is_empty() {
            true => alone.clone(),
            false => prompts.with(in_text, request, frame),
        };
        let bare = (!references.is_empty()).then(bare);
        let conditions = references.iter().map(|of| of.condition().clone());
        Ok(Encoded {
            conditions: conditions.collect(),
            conditioned: Sequence::new(outline, text, &self.summed(request, references)),
            bare,
            grid,
        })
    }

    /// The text encoders with what the request's low-rank adapters change of them; those are merged for this request alone.
    pub(super) fn encoders_for(
        &self,
        request: &Request,
    ) -> Result<Arc<PromptEncoders>, PipelineError> {
        let own = |part| self.loras.merged_for(&request.loras, part);
        match [own(Part::ClipL), own(Part::T5)] {
            [None, None] => self.prompt_encoders(),
            [clip, t5] => {
                let or =
                    |own: Option<Arc<Deltas>>, part| own.unwrap_or_else(|| self.loras.merged(part));
                let encoders = self.load_encoders(or(clip, Part::ClipL), or(t5, Part::T5))?;
                Ok(Arc::new(encoders))
            }
        }
    }

    /// T5 states `[prompts, text tokens, joint_attention_dim]` and pooled CLIP states `[prompts, pooled_projection_dim]` of
    /// prompts and their T5 pieces.
    ///
    /// # Errors
    ///
    /// Those of loading the encoders.
    pub fn encode_prompts(
        &self,
        prompts: &[String],
        pieces: &[EncodedPrompt],
    ) -> Result<(Tensor<3>, Tensor<2>), PipelineError> {
        let encoders = self.prompt_encoders()?;
        encoders.encode(self.tokenizers(), prompts, pieces, &self.profile.device)
    }

    /// Encodes a reference picture; `seeds` give the standard normal numbers for a sample of the autoencoder's posterior,
    /// those of the first picture; without them the mean is taken.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] if the picture is empty or the size cannot be encoded.
    pub fn encode_condition(
        &self,
        picture: &RgbImage,
        size: ConditionSize,
        seeds: Option<&mut Seeds>,
    ) -> Result<Condition, PipelineError> {
        let multiple = self.profile.multiple;
        let own = ImageSize::new(picture.height() as usize, picture.width() as usize);
        let grid = size.grid(own, multiple)?;
        let side =
            |tokens: usize| u32::try_from(multiple * tokens).expect("a grid's sides are limited");
        let (width, height) = (side(grid.width), side(grid.height));
        let filter = match self.kind() {
            Kind::TextToImage => Filter::Bicubic,
            Kind::Kontext => Filter::Lanczos,
        };
        let picture = resize(picture, width, height, filter);
        let vae = self.vae()?;
        let pixels = image_to_tensor(&picture, &self.profile.device).cast(self.vae_dtype());
        let posterior = vae.encode(pixels, None)?;
        let latents = match seeds {
            Some(seeds) => {
                let [_, channels, height, width] = posterior.mean().dims();
                posterior.sample(seeds.noise_of(0, [channels, height, width]))
            }
            None => posterior.mean(),
        };
        Ok(Condition {
            tokens: pack(vae.scale(latents)),
            grid,
        })
    }
}
