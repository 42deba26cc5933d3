//! One prompt with everything that its pictures share: encoded states, text-only pictures, the truth about them.

use std::{collections::BTreeMap, error::Error, sync::Arc};

use burn::tensor::{Tensor, TensorData};
use conceptrol_core::{
    Grid, MaskRole, SiteSelector,
    mask::{
        Competition, ConceptBlock, ConceptMask, ConceptMaskSource, Local, MaskNorm, Random, Spread,
    },
    models::image::{RgbImage, open},
    pipeline::{
        ConceptRequest, Conditioning, Gating, Generation, LoraRequest, Mode, Pipeline, Request,
    },
    processors::CaptureLayer,
};
use ndarray::Array2;

use super::pictures::{Gate, Tuned, Variant};
use crate::{
    baseline::with_rare_word,
    data::{Prompt, Subject},
    lab::{Lab, with_settings},
    measure::{Oracle, Regions, region_of},
    rows::Settings,
    watch::Progress,
};

/// The seed of the noise masks; the noise is the same in every picture.
const NOISE: u64 = 0;

/// Temperature of the competition of concepts, whose masks have a peak of 1.
const SHARING: f32 = 0.2;
/// The level that the background competes with.
const BACKGROUND: f32 = 0.3;

/// One prompt with everything that its pictures share.
pub(super) struct Bench<'a, P: Pipeline> {
    pub(super) lab: &'a Lab<'a, P>,
    pub(super) prompt: &'a Prompt,
    pub(super) subject: &'a Subject,
    pub(super) reference: RgbImage,
    tuned: Option<&'a Tuned<P>>,
    request: Request<P::Extra>,
    /// By the bits of the guidance.
    conditioned: BTreeMap<u64, Conditioning<P::Encoded>>,
    /// Text-only pictures, by steps and guidance.
    plain: BTreeMap<(usize, u64), Plain>,
}

/// Pictures of the text alone, and where the model's own maps say that things are.
struct Plain {
    images: Vec<RgbImage>,
    /// Empty where a segmenter tells.
    own: Vec<Regions>,
}

impl<'a, P: Pipeline> Bench<'a, P> {
    pub(super) fn new(
        lab: &'a Lab<'a, P>,
        prompt: &'a Prompt,
        subject: &'a Subject,
        tuned: Option<&'a Tuned<P>>,
    ) -> Result<Self, Box<dyn Error>> {
        let reference = open(&subject.images[0])?;
        let request = Request::new(&prompt.prompt)
            .concept(ConceptRequest::new(&prompt.phrase, reference.clone()))
            .images_per_prompt(lab.common.seeds())
            .seed(lab.common.seed)
            .cancel(lab.interrupt.cancel());
        Ok(Self {
            lab,
            prompt,
            subject,
            reference,
            tuned,
            request,
            conditioned: BTreeMap::new(),
            plain: BTreeMap::new(),
        })
    }

    pub(super) fn generate(
        &mut self,
        variant: &Variant,
        progress: &mut Progress,
    ) -> Result<Generation, Box<dyn Error>> {
        let pipeline = &self.lab.pipeline;
        let settings = &variant.settings;
        let mut request = with_settings(self.request.clone(), settings)?;
        if let Gate::Tuned(loras) = &variant.gate {
            return self.by_tuned(request, loras, progress);
        }
        let mut conditioning = self.conditioning(&request, settings)?;
        match &variant.gate {
            Gate::Closed => request = request.mode(Mode::TextOnly),
            Gate::Open => request = request.mode(Mode::Adapter),
            Gate::Random => request = request.mask_source(Random::new(NOISE)),
            Gate::Tuned(_) => {}
            Gate::Local => request.mask_source = Some(self.local()),
            Gate::Block(None) => {}
            Gate::Competition => {
                let block = self.block(&request)?;
                let source = Competition::softmax(block, SHARING)?.background(BACKGROUND)?;
                request = request.mask_source(source);
            }
            Gate::Spread => {
                let norm = pipeline.profile().gating.norm();
                let source = Spread::over(self.block(&request)?, norm);
                request = request.mask_source(source);
            }
            Gate::Block(Some(site)) => {
                let block = pipeline.profile().block_at(SiteSelector::named(site));
                request = request.mask_source(block);
            }
            Gate::Truth => {
                let mask = self.truth(settings, progress)?;
                request.concepts[0].mask = Some(mask.clone());
                request.concepts[0].mask_role = MaskRole::Instead;
                conditioning.concepts[0].mask = Some(mask);
                conditioning.concepts[0].mask_role = MaskRole::Instead;
            }
        }
        let plan = pipeline.plan(&request)?;
        let generation = pipeline.finish(&plan, &request, conditioning, progress)?;
        if matches!(variant.gate, Gate::Closed) && self.lab.oracle.segmenter().is_some() {
            let images = generation.images.clone();
            let own = Vec::new();
            self.plain.insert(key(settings), Plain { images, own });
        }
        Ok(generation)
    }

    /// The model's concept block.
    fn block(&self, request: &Request<P::Extra>) -> Result<ConceptBlock, Box<dyn Error>> {
        let block = self.lab.pipeline.concept_block(request.fidelity);
        Ok(block.ok_or("the model names no concept block")?)
    }

    /// The tuned model, asked by words alone.
    fn by_tuned(
        &self,
        mut request: Request<P::Extra>,
        loras: &[LoraRequest],
        progress: &mut Progress,
    ) -> Result<Generation, Box<dyn Error>> {
        let tuned = self
            .tuned
            .as_ref()
            .ok_or("no model was tuned to the subject")?;
        let Prompt { prompt, phrase, .. } = self.prompt;
        let named = with_rare_word(prompt, phrase, &tuned.token);
        request.prompts = vec![named.ok_or_else(|| format!("`{prompt}` has no `{phrase}`"))?];
        request.concepts.clear();
        if loras.iter().any(|lora| lora.concept.is_some()) {
            let words = format!("{} {phrase}", tuned.token);
            request.concepts.push(ConceptRequest::words_only(words));
        }
        request.loras = loras.to_vec();
        let request = request.mode(Mode::TextOnly);
        Ok(tuned.pipeline.generate(&request, progress)?)
    }

    /// Prompt and reference, encoded once a guidance.
    fn conditioning(
        &mut self,
        request: &Request<P::Extra>,
        settings: &Settings,
    ) -> Result<Conditioning<P::Encoded>, Box<dyn Error>> {
        let key = settings.guidance.to_bits();
        if let Some(known) = self.conditioned.get(&key) {
            return Ok(known.clone());
        }
        let fresh = self.lab.pipeline.condition(request)?;
        self.conditioned.insert(key, fresh.clone());
        Ok(fresh)
    }

    /// Each site's own map, normalised as the family reads masks.
    fn local(&self) -> Arc<dyn ConceptMaskSource> {
        let norm = self.lab.pipeline.profile().gating.norm();
        Arc::new(Local::new().norm(norm))
    }

    /// The regions of picture `index`.
    pub(super) fn regions(
        &mut self,
        picture: &RgbImage,
        settings: &Settings,
        index: usize,
        progress: &mut Progress,
    ) -> Result<Regions, Box<dyn Error>> {
        match &self.lab.oracle {
            Oracle::Segmenter(segmenter) => {
                Ok(segmenter.regions(picture, &self.subject.class, &self.prompt.others))
            }
            Oracle::OwnMaps => Ok(self.plain(settings, progress)?.own[index].clone()),
        }
    }

    /// Where the concept is in the pictures that the text alone gives; everywhere where it is not there.
    fn truth(
        &mut self,
        settings: &Settings,
        progress: &mut Progress,
    ) -> Result<ConceptMask, Box<dyn Error>> {
        let device = self.lab.pipeline.profile().device.clone();
        let (lab, class) = (self.lab, &self.subject.class);
        let plain = self.plain(settings, progress)?;
        let regions: Vec<Option<Array2<bool>>> = match &lab.oracle {
            Oracle::Segmenter(segmenter) => {
                let concept = |image| segmenter.regions(image, class, &[]).concept;
                plain.images.iter().map(concept).collect()
            }
            Oracle::OwnMaps => plain.own.iter().map(|own| own.concept.clone()).collect(),
        };
        let known = regions.iter().flatten().next();
        let (height, width) = known.map_or((64, 64), Array2::dim);
        let values: Vec<f32> = (regions.iter())
            .flat_map(|region| match region {
                Some(region) => region.iter().map(|&x| f32::from(u8::from(x))).collect(),
                None => vec![1.0; height * width],
            })
            .collect();
        let shape = [regions.len(), height * width];
        let values = TensorData::new(values, shape);
        let values = Tensor::from_data(values, &device);
        let norm = match lab.pipeline.profile().gating {
            Gating::Logits => MaskNorm::Mean,
            _ => MaskNorm::None,
        };
        let mask = ConceptMask::new(values, Grid::new(height, width))?;
        Ok(mask.normalized(norm))
    }

    /// The pictures of the text alone, once a number of steps and guidance.
    fn plain(
        &mut self,
        settings: &Settings,
        progress: &mut Progress,
    ) -> Result<&Plain, Box<dyn Error>> {
        let key = key(settings);
        if !self.plain.contains_key(&key) {
            let mut request = with_settings(self.request.clone(), settings)?.mode(Mode::TextOnly);
            request.concepts = std::iter::once(&self.prompt.phrase)
                .chain(&self.prompt.others)
                .map(ConceptRequest::words_only)
                .collect();
            let plain = own_maps(self.lab, &request, progress)?;
            self.plain.insert(key, plain);
        }
        Ok(&self.plain[&key])
    }
}

/// What text-only pictures depend on.
const fn key(settings: &Settings) -> (usize, u64) {
    (settings.steps, settings.guidance.to_bits())
}

/// Text-only pictures and the regions of their concepts: where the concept block's map, averaged over the steps, is at least
/// half of its peak.
fn own_maps<P: Pipeline>(
    lab: &Lab<'_, P>,
    request: &Request<P::Extra>,
    progress: &mut Progress,
) -> Result<Plain, Box<dyn Error>> {
    let pipeline = &lab.pipeline;
    let plan = pipeline.plan_around(request, lab.concept_sites()?, CaptureLayer::new())?;
    let generation = pipeline.generate_with(&plan, request, progress)?;
    let mean_of = |concept: usize| {
        let maps = generation
            .captures
            .iter()
            .filter(|capture| capture.concept == concept);
        let maps = maps.map(|capture| capture.map.clone().normalized(MaskNorm::Max));
        let mut maps = maps.collect::<Vec<_>>().into_iter();
        let first = maps.next()?;
        let grid = first.grid();
        let sum = maps.fold(first.values().clone(), |sum, map| {
            sum + map.values().clone()
        });
        Some(ConceptMask::new(sum, grid).ok()?.normalized(MaskNorm::Max))
    };
    let means: Vec<Option<ConceptMask>> = (0..request.concepts.len()).map(mean_of).collect();
    let region =
        |mean: &Option<ConceptMask>, image| mean.as_ref().map(|mean| region_of(mean, image, 0.5));
    let own = (0..generation.images.len()).map(|image| Regions {
        concept: region(&means[0], image),
        others: means[1..].iter().map(|mean| region(mean, image)).collect(),
    });
    Ok(Plain {
        own: own.collect(),
        images: generation.images,
    })
}
