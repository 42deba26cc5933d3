//! FLUX as a family.

use std::sync::Arc;

use burn::tensor::{FloatDType, Tensor};
use conceptrol_core::{
    AttentionPlanBuilder, Concept, Session, SiteSelector, Token,
    mask::{ConceptBlock, ConceptMask},
    models::{autoencoder_kl::Tiling, tokenizer::EncodedPrompt},
    pipeline::{
        ConceptRequest, Encoding, Evaluation, Family, Fidelity, Frame, Gating, ImageSize, Loras,
        Mode, PipelineError, Profile, Seeds,
    },
    processors::JointConditionLayer,
};

use crate::kontext::{MAX_AREA, output_size};
use crate::latents::{pack, unpack};
use crate::mmdit::{FluxInput, FluxTransformer};
use crate::pipeline::{
    Encoded, Extra, Flux, Kind, Request, concept_block,
    options::TEXT_LIMIT,
    plan::concept_sites,
    redux::{self, is_redux},
};

impl Family for Flux {
    type Extra = Extra;
    type Encoded = Encoded;
    type Denoiser = FluxTransformer;

    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn concept_block(&self, fidelity: Fidelity) -> Option<ConceptBlock> {
        let usual = || match self.profile.gating {
            Gating::Logits => concept_block(self.config(), fidelity),
            // the authors' code has none for FLUX
            gating => gating.block_at(concept_sites(self.config(), Fidelity::Paper)),
        };
        Some(self.named_concept_block().cloned().unwrap_or_else(usual))
    }

    fn loras(&self) -> Option<&Loras> {
        Some(&self.loras)
    }

    fn adapters(&self) -> usize {
        self.readers.count()
    }

    fn tokenize(&self, prompt: &str, extra: &Extra) -> Result<EncodedPrompt, PipelineError> {
        Ok(self
            .tokenizers()
            .t5
            .encode(prompt, self.text_tokens(extra))?)
    }

    fn phrase(&self, phrase: &str) -> Result<Vec<Token>, PipelineError> {
        Ok(self.tokenizers().t5.tokens(phrase)?)
    }

    fn check(&self, request: &Request) -> Result<(), PipelineError> {
        let beside =
            |concept: &ConceptRequest| concept.image.is_some() && !is_redux(&self.readers, concept);
        let beside = request.has_references()
            && !self.readers.has_terms()
            && request.concepts.iter().any(beside);
        if self.config().reads_region() && beside {
            return Err(PipelineError::Unsupported {
                family: "FLUX Fill",
                what: "tokens of reference pictures: its own carry a region".into(),
            });
        }
        let tokens = self.text_tokens(&request.extra);
        if !(1..=TEXT_LIMIT).contains(&tokens) {
            let name = "the number of text tokens";
            return Err(PipelineError::bad_request(name, tokens, "1 to 512"));
        }
        if request
            .concepts
            .iter()
            .any(|concept| concept.identity.is_some())
        {
            return Err(PipelineError::Unsupported {
                family: "FLUX",
                what: "adapter that reads the embedding of a face".into(),
            });
        }
        redux::check(&self.readers, request)?;
        self.check_pictures(request)?;
        if self.readers.has_terms() {
            return Ok(());
        }
        let strengths = [request.scale, request.outside.unwrap_or_default()];
        let concepts = request.concepts.iter().map(|concept| concept.scale);
        let sites = request.site_scales.iter().map(|(_, scale)| *scale);
        // A strength is the logarithm of a bias.
        let mut all = strengths.into_iter().chain(concepts).chain(sites);
        match all.find(|strength| *strength < 0.0) {
            None => Ok(()),
            Some(negative) => {
                let name = "a condition scale";
                Err(PipelineError::bad_request(name, negative, "at least 0"))
            }
        }
    }

    fn size(&self, request: &Request) -> ImageSize {
        let kontext = self.kind() == Kind::Kontext;
        let own = self.profile.defaults.size;
        let first = || {
            request
                .concepts
                .iter()
                .find_map(|concept| concept.image.as_ref())
        };
        let of_reference = || {
            let picture = first().filter(|picture| kontext && !picture.is_empty())?;
            Some(ImageSize::new(
                picture.height() as usize,
                picture.width() as usize,
            ))
        };
        let multiple = self.profile.multiple;
        let asked = request.own_size(multiple);
        match (asked, request.extra.max_area) {
            (Some(size), None) => size,
            (Some(size), Some(_)) if size.pixels() == 0 => size,
            (Some(size), Some(area)) => output_size(size, area, multiple),
            (None, area) => match of_reference() {
                Some(aspect) => output_size(aspect, area.unwrap_or(MAX_AREA), multiple),
                None => area.map_or(own, |area| output_size(own, area, multiple)),
            },
        }
    }

    fn install<'a>(
        &self,
        builder: AttentionPlanBuilder<'a>,
        request: &Request,
    ) -> Result<AttentionPlanBuilder<'a>, PipelineError> {
        let scales = || request.site_scales.iter().cloned();
        if !self.readers.has_terms() {
            let layer = JointConditionLayer::new()
                .references_see(self.sight(request))
                .seen_by(request.extra.seen_by);
            let layer = scales().fold(layer, |layer, (sites, scale)| {
                layer.site_scale(sites, scale)
            });
            return Ok(builder.layer(SiteSelector::joint(), layer));
        }
        self.install_ip_adapters(builder, request)
    }

    fn encode(
        &self,
        request: &Request,
        frame: &Frame,
        seeds: &mut Seeds,
    ) -> Result<Encoding<Encoded>, PipelineError> {
        let references = self.encode_references(request, frame)?;
        let states = self.encode_request(request, frame, seeds)?;
        Ok(Encoding::new(states).references(references))
    }

    fn concepts_of(&self, request: &Request, concepts: &[Concept]) -> Vec<Concept> {
        let one = |(index, concept): (usize, &Concept)| {
            let own = concept.conditioned && !self.is_summed_away(request, index);
            concept.clone().conditioned(own)
        };
        concepts.iter().enumerate().map(one).collect()
    }

    fn denoiser(&self, _: &Request) -> Result<Arc<FluxTransformer>, PipelineError> {
        self.transformer()
    }

    #[expect(clippy::cast_possible_truncation, reason = "the model reads f32")]
    fn predict(
        &self,
        transformer: &FluxTransformer,
        evaluation: Evaluation<'_, Encoded>,
        session: &mut Session,
    ) -> Result<Tensor<4>, PipelineError> {
        let states = evaluation.states;
        let sequence = states.sequence(evaluation.mode != Mode::TextOnly);
        let input = FluxInput {
            latents: pack(evaluation.latents),
            text: sequence.text.tokens.clone(),
            pooled: sequence.text.pooled.clone(),
            condition: sequence.condition.clone(),
            sigma: evaluation.step.timestep as f32 / 1000.0,
            guidance: evaluation.guidance as f32,
            rotary: &sequence.rotary,
            layout: &sequence.layout,
        };
        Ok(unpack(transformer.forward(input, session)?, states.grid))
    }

    fn memory(&self, request: &Request, frame: &Frame) -> Option<u64> {
        Some(self.footprint(frame, request.vae_tile))
    }

    fn encode_picture(
        &self,
        pixels: Tensor<4>,
        noise: Option<Tensor<4>>,
        tile: Option<usize>,
    ) -> Result<Tensor<4>, PipelineError> {
        let vae = self.vae()?;
        let tiling = tile.map(Tiling::new);
        let posterior = vae.encode(pixels.cast(self.vae_dtype()), tiling.as_ref())?;
        Ok(vae.scale(posterior.latents(noise)).cast(FloatDType::F32))
    }

    /// The rest, then the pixels of the region: a cell's are channels of their own, so that the mask loses nothing.
    fn around(&self, region: &ConceptMask, rest: Tensor<4>) -> Result<Tensor<4>, PipelineError> {
        let [images, _, height, width] = rest.dims();
        let [down, across] = [region.grid().height / height, region.grid().width / width];
        let pixels = region.values().clone();
        let pixels = pixels.reshape([1, height, down, width, across]);
        let channels = pixels.permute([0, 2, 4, 1, 3]); // [1, row, column, height, width]
        let channels = channels.reshape([1, down * across, height, width]);
        Ok(Tensor::cat(vec![rest, channels.repeat_dim(0, images)], 1))
    }

    fn decode(&self, latents: Tensor<4>, tile: Option<usize>) -> Result<Tensor<4>, PipelineError> {
        let vae = self.vae()?;
        let latents = vae.unscale(latents).cast(self.vae_dtype());
        let tiling = tile.map(Tiling::new);
        Ok(vae.decode(latents, tiling.as_ref())?.cast(FloatDType::F32))
    }
}
