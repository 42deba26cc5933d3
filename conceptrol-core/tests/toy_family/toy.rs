//! What a model must write to become a pipeline: its facts, its words, its pictures, one prediction. In return it has
//! concepts, masks, guidance, schedulers, batches, observers and cancelling. The weights are random, all else is real.

use std::sync::Arc;

use burn::tensor::{Device, FloatDType, Tensor, module::adaptive_avg_pool2d};
use conceptrol_core::{
    AttentionPlanBuilder, PromptTokens, ReferenceTokens, Session, SiteSelector, Token, TokenStyle,
    mask::ConceptBlock,
    models::image::{Filter, image_to_tensor, resize},
    models::nn::{Embedding, Linear},
    models::scheduler::{SchedulerConfig, SchedulerKind},
    models::{tokenizer::EncodedPrompt, weights::Weights},
    pipeline::{ConceptRequest, Encoding, Evaluation, Family, Fidelity, Frame, PipelineError},
    pipeline::{Profile, Request, Seeds},
    processors::{IpAdapterLayer, IpProjection},
};

use crate::model::{Denoiser, WIDTH, sites};

/// Tokens the text encoder sees, start and end included.
const LENGTH: usize = 12;

#[derive(Debug)]
pub(crate) struct Toy {
    profile: Profile,
    words: Embedding,
    picture: Linear,
    adapter: IpAdapterLayer,
    denoiser: Arc<Denoiser>,
}

impl Toy {
    pub(crate) fn open(device: &Device) -> Self {
        let w = Weights::random(1, device, FloatDType::F32);
        let [key, value] = ["to_k_ip", "to_v_ip"].map(|name| w.tensor(name, [WIDTH; 2]).val());
        let adapted = ("block.attn2".to_owned(), IpProjection::new(key, value));
        let ddim = SchedulerConfig::new(SchedulerKind::Ddim, Default::default());
        let cross = SiteSelector::cross();
        Self {
            profile: Profile::new("the toy", sites(), cross, device.clone(), ddim),
            words: Embedding::new(&w.at("words"), 256, WIDTH),
            picture: Linear::new(&w.at("picture"), 3, WIDTH, true),
            adapter: IpAdapterLayer::new([adapted]),
            denoiser: Arc::new(Denoiser::new(&w.at("denoiser"))),
        }
    }

    /// `[prompts, LENGTH, WIDTH]`
    fn text(&self, prompts: &[EncodedPrompt]) -> Tensor<3> {
        let ids = prompts
            .iter()
            .map(|prompt| prompt.to_tensor(&self.profile.device));
        self.words.forward(Tensor::cat(ids.collect(), 0))
    }

    /// The colours of four parts of the picture.
    fn reference(&self, concept: &ConceptRequest) -> Option<ReferenceTokens> {
        let small = resize(concept.image.as_ref()?, 2, 2, Filter::Bicubic);
        let colours = image_to_tensor(&small, &self.profile.device).reshape([1, 3, 4]);
        let tokens = self.picture.forward(colours.swap_dims(1, 2)); // [1, 4, WIDTH]
        Some(ReferenceTokens::new(tokens.clone(), tokens.zeros_like()))
    }
}

/// Words between spaces; the id of a word is the sum of its bytes.
fn split(text: &str) -> Vec<Token> {
    let start = |word: &str| word.as_ptr() as usize - text.as_ptr() as usize;
    let token = |word: &str| {
        let id = word.bytes().map(u32::from).sum::<u32>() % 254 + 2;
        Token::new(id, word, start(word)..start(word) + word.len(), true)
    };
    text.split_whitespace().map(token).collect()
}

impl Family for Toy {
    type Extra = ();
    type Encoded = Tensor<3>; // text states of every row
    type Denoiser = Denoiser;

    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn concept_block(&self, _: Fidelity) -> Option<ConceptBlock> {
        Some(ConceptBlock::cross(SiteSelector::named("block.attn2")))
    }

    fn adapters(&self) -> usize {
        1
    }

    fn tokenize(&self, prompt: &str, (): &()) -> Result<EncodedPrompt, PipelineError> {
        let tokens = split(prompt);
        let ids = std::iter::once(0).chain(tokens.iter().map(|token| token.id));
        let ids = ids.take(LENGTH - 1).chain(std::iter::repeat(1));
        Ok(EncodedPrompt {
            ids: ids.take(LENGTH).collect(),
            tokens: PromptTokens::new(tokens, TokenStyle::Clip, LENGTH),
            truncated: None,
        })
    }

    fn phrase(&self, phrase: &str) -> Result<Vec<Token>, PipelineError> {
        Ok(split(phrase))
    }

    fn install<'a>(
        &self,
        plan: AttentionPlanBuilder<'a>,
        _: &Request,
    ) -> Result<AttentionPlanBuilder<'a>, PipelineError> {
        Ok(plan.layer(SiteSelector::cross(), self.adapter.clone()))
    }

    fn encode(
        &self,
        asked: &Request,
        frame: &Frame,
        _: &mut Seeds,
    ) -> Result<Encoding<Tensor<3>>, PipelineError> {
        let mut rows = vec![frame.per_image(self.text(&frame.prompts))];
        if frame.batch.is_guided() {
            let negative = asked
                .negative_prompts
                .clone()
                .unwrap_or_else(|| vec!["".into()]);
            let negative = negative.iter().cycle().take(frame.prompts.len());
            let negative: Result<Vec<_>, _> =
                negative.map(|words| self.tokenize(words, &())).collect();
            rows.insert(0, frame.per_image(self.text(&negative?))); // unconditional rows are first
        }
        let references = asked.concepts.iter();
        let references = references.map(|concept| self.reference(concept));
        Ok(Encoding::new(Tensor::cat(rows, 0)).references(references.collect()))
    }

    fn denoiser(&self, _: &Request) -> Result<Arc<Denoiser>, PipelineError> {
        Ok(Arc::clone(&self.denoiser))
    }

    fn predict(
        &self,
        denoiser: &Denoiser,
        evaluation: Evaluation<'_, Tensor<3>>,
        session: &mut Session,
    ) -> Result<Tensor<4>, PipelineError> {
        let (timestep, text) = (evaluation.step.timestep, evaluation.states.clone());
        Ok(denoiser.forward(evaluation.latents, timestep, text, session)?)
    }

    /// The mean colours of 8 x 8 pixels, and a channel of nothing.
    fn encode_picture(
        &self,
        pixels: Tensor<4>,
        noise: Option<Tensor<4>>,
        _tile: Option<usize>,
    ) -> Result<Tensor<4>, PipelineError> {
        let [images, _, height, width] = pixels.dims();
        let colours = adaptive_avg_pool2d(pixels, [height / 8, width / 8]);
        let nothing = Tensor::zeros([images, 1, height / 8, width / 8], &self.profile.device);
        let mean = Tensor::cat(vec![colours, nothing], 1);
        Ok(match noise {
            Some(noise) => mean + noise * 0.01,
            None => mean,
        })
    }

    fn decode(&self, latents: Tensor<4>, _: Option<usize>) -> Result<Tensor<4>, PipelineError> {
        let [images, _, height, width] = latents.dims();
        let colours = latents.slice_dim(1, 0..3).tanh();
        let pixels = colours.reshape([images, 3, height, 1, width, 1]);
        let pixels = pixels.expand([images, 3, height, 8, width, 8]);
        Ok(pixels.reshape([images, 3, 8 * height, 8 * width]))
    }
}
