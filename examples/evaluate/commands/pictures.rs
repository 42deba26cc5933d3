//! Pictures of the same prompts, references and seeds, made in several ways and measured: what `masks` and `sweep` share.

use std::{collections::BTreeMap, error::Error, sync::Arc};

use conceptrol_core::{
    MaskRole, SiteSelector,
    mask::{ConceptBlock, ConceptMask, ConceptMaskSource, Local, MaskNorm, Random},
    models::image::{RgbImage, open, save_png},
    pipeline::{ConceptRequest, Conditioning, Generation, LoraRequest, Mode, Pipeline, Request},
    processors::CaptureLayer,
};
use ndarray::Array2;

use crate::{
    baseline::with_rare_word,
    data::{Prompt, Subject},
    lab::{Chosen, Lab, with_settings},
    measure::{Oracle, Regions, Scorer, region_of},
    rows::{Journal, Picture, Settings, Setup},
    watch::Progress,
};

/// A way to make a picture.
#[derive(Debug, Clone)]
pub(crate) struct Variant {
    pub(crate) method: String,
    pub(crate) settings: Settings,
    pub(crate) gate: Gate,
}

/// Where a reference may act.
#[derive(Debug, Clone)]
pub(crate) enum Gate {
    /// Nowhere.
    Closed,
    /// Everywhere: the plain adapter.
    Open,
    /// Within noise.
    Random,
    /// Where the map of each site says.
    Local,
    /// Where the map of a site says; the model's concept block if `None`.
    Block(Option<String>),
    /// Where the thing is in the picture that the text alone gives.
    Truth,
    /// The model was tuned to the subject, and words ask for it; with these low-rank adapters of those that it keeps apart.
    Tuned(Vec<LoraRequest>),
}

/// The seed of the noise masks; the noise is the same in every picture.
const NOISE: u64 = 0;

/// The prompts of each unit of work, and the subjects that they name.
pub(crate) type Units = (Vec<Vec<Prompt>>, BTreeMap<String, Subject>);

/// Every prompt is a unit of work.
pub(crate) fn each((prompts, subjects): Chosen) -> Units {
    (
        prompts.into_iter().map(|prompt| vec![prompt]).collect(),
        subjects,
    )
}

/// A model that was tuned to a subject, which a rare word before the word of its class means.
#[derive(Debug)]
pub(crate) struct Tuned<P> {
    pub(crate) pipeline: P,
    pub(crate) token: String,
}

/// Gives the model of a unit of work, where there is one.
pub(crate) type Tune<'a, P> =
    dyn FnMut(usize, &Subject, &mut Progress) -> Result<Option<Tuned<P>>, Box<dyn Error>> + 'a;

/// Makes and measures all pictures; rows of a unit: prompt by prompt, variant by variant, seed by seed. `tune` gives the model
/// of a unit for [`Gate::Tuned`].
pub(crate) fn compare<P: Pipeline>(
    lab: &Lab<'_, P>,
    setup: &Setup,
    variants: &[Variant],
    (units, subjects): Units,
    tune: &mut Tune<'_, P>,
) -> Result<(), Box<dyn Error>> {
    let seeds = lab.common.seeds();
    let prompts: Vec<Prompt> = units.iter().flatten().cloned().collect();
    let setup = lab.with_references(setup.clone())?;
    let setup = &setup.option("prompts", prompts.len());
    let rows = |unit: usize| units.get(unit).map_or(0, Vec::len) * variants.len() * seeds;
    let mut journal = Journal::open::<Picture>(&lab.common.out, setup, lab.shard, rows)?;
    let scorer = lab.scorer(&prompts)?;
    let total = (0..units.len()).filter(|unit| lab.shard.has(*unit)).count();
    let mut progress = Progress::new(&setup.command, journal.done(), total);
    for unit in journal.remaining(units.len()) {
        let tuned = match units[unit].first() {
            Some(prompt) => tune(unit, &subjects[&prompt.subject], &mut progress)?,
            None => None,
        };
        let mut rows = Vec::with_capacity(units[unit].len() * variants.len() * seeds);
        for (index, prompt) in units[unit].iter().enumerate() {
            let place = Place {
                unit,
                prompt: index,
            };
            let bench = Bench::new(lab, prompt, &subjects[&prompt.subject], tuned.as_ref())?;
            rows.extend(pictures(
                bench,
                &scorer,
                variants,
                &setup.command,
                place,
                &mut progress,
            )?);
        }
        journal.append(&rows)?;
        progress.advance();
    }
    progress.finish();
    Ok(())
}

/// Where a prompt is among the units of work.
#[derive(Debug, Clone, Copy)]
struct Place {
    unit: usize,
    prompt: usize,
}

/// All pictures of a prompt.
fn pictures<P: Pipeline>(
    mut bench: Bench<'_, P>,
    scorer: &Scorer,
    variants: &[Variant],
    command: &str,
    place: Place,
    progress: &mut Progress,
) -> Result<Vec<Picture>, Box<dyn Error>> {
    let (lab, prompt, subject) = (bench.lab, bench.prompt, bench.subject);
    let asked = scorer.asked(prompt, &bench.reference)?;
    let segmented = matches!(lab.oracle, Oracle::Segmenter(_));
    let mut rows = Vec::new();
    for variant in variants {
        progress.begin(format!("{}, {}", prompt.prompt, variant.method));
        let generation = bench.generate(variant, progress)?;
        let made = generation.images.iter().zip(&generation.seeds).enumerate();
        for (index, (picture, seed)) in made {
            let regions = bench.regions(picture, &variant.settings, index, progress)?;
            let file = file(command, place, variant, *seed);
            let path = lab.common.out.join(&file);
            save_png(path, picture, &[("parameters", &prompt.prompt)])?;
            rows.push(Picture {
                unit: place.unit,
                method: variant.method.clone(),
                settings: variant.settings.clone(),
                prompt: prompt.prompt.clone(),
                subject: subject.id.clone(),
                phrase: prompt.phrase.clone(),
                seed: *seed,
                file,
                reference: lab.data.name_of(&subject.images[0]),
                scores: scorer.score(picture, &asked, &regions, segmented)?,
            });
        }
    }
    Ok(rows)
}

/// The file of a picture, relative to the folder of the rows.
fn file(command: &str, place: Place, variant: &Variant, seed: u64) -> String {
    let Settings {
        scale,
        warmup,
        steps,
        guidance,
    } = variant.settings;
    let method = variant.method.replace(' ', "-");
    let number = match place.prompt {
        0 => format!("{:04}", place.unit),
        prompt => format!("{:04}.{prompt}", place.unit),
    };
    format!(
        "pictures/{command}/{number}_{method}_scale{scale}_warmup{warmup}_{steps}x{guidance}_{seed}.png"
    )
}

/// One prompt with everything that its pictures share.
struct Bench<'a, P: Pipeline> {
    lab: &'a Lab<'a, P>,
    prompt: &'a Prompt,
    subject: &'a Subject,
    reference: RgbImage,
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
    fn new(
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

    fn generate(
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
        if matches!(variant.gate, Gate::Closed) && matches!(self.lab.oracle, Oracle::Segmenter(_)) {
            let images = generation.images.clone();
            let own = Vec::new();
            self.plain.insert(key(settings), Plain { images, own });
        }
        Ok(generation)
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
        let norm = if self.lab.pipeline.profile().is_joint() {
            MaskNorm::Mean
        } else {
            MaskNorm::Max
        };
        Arc::new(Local::new().norm(norm))
    }

    /// The regions of picture `index`.
    fn regions(
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
        let values = burn::tensor::TensorData::new(values, shape);
        let values = burn::tensor::Tensor::from_data(values, &device);
        let norm = if lab.pipeline.profile().is_joint() {
            MaskNorm::Mean
        } else {
            MaskNorm::None
        };
        let mask = ConceptMask::new(values, conceptrol_core::Grid::new(height, width))?;
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
    let block = pipeline.concept_block(request.fidelity);
    let sites = block.as_ref().map(ConceptBlock::sites).ok_or(
        "the model's concept block is not known: find it with `evaluate blocks`, and put conceptrol.json beside model_index.json",
    )?;
    let plan = pipeline.plan_around(request, sites.clone(), CaptureLayer::new())?;
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
