//! The paper's first experiment: which attention block knows where a word acts?

use std::{
    collections::BTreeMap,
    error::Error,
    path::{Path, PathBuf},
};

use conceptrol_core::{
    AttentionSites, Captures,
    models::image::{Filter, image_to_tensor, open, resize, save_png},
    pipeline::{ConceptRequest, Gating, Mode, Pipeline, Request},
    processors::CaptureLayer,
};
use conceptrol_examples::say;
use ndarray::Array2;

use crate::{
    arguments,
    data::{Prompt, Scene},
    lab::{Experiment, Lab, with_settings},
    measure::{Oracle, auc, auc_within, load_mask},
    rows::Attention,
    watch::Progress,
};

/// Scenes whose masks are known, noised to every step; then pictures of the model's own.
#[derive(Debug)]
pub(crate) struct Blocks(pub(crate) arguments::Blocks);

/// A unit of work.
enum Unit<'a> {
    Scene(&'a Scene),
    /// With the segmenter's class of its concept.
    Generated(&'a Prompt, &'a str),
}

impl Experiment for Blocks {
    fn run<P: Pipeline>(&self, lab: &Lab<'_, P>) -> Result<(), Box<dyn Error>> {
        let mut scenes = lab.data.scenes()?;
        scenes.truncate(lab.common.count_of(scenes.len(), 100, 16));
        let (prompts, subjects) = lab.prompts(60, 8)?;
        let norm = match lab.pipeline.profile().gating {
            Gating::Logits => "mean",
            _ => "max",
        };
        let mut setup = lab.setup("blocks")?.option("normalization", norm);
        if let Some(masks) = &self.0.oracle_masks {
            setup = setup.file("oracle masks", masks)?;
        }
        let units = scenes.iter().map(Unit::Scene);
        let knows = self.0.oracle_masks.is_some() || lab.oracle.segmenter().is_some();
        let generated = prompts.iter().filter(|_| knows);
        let generated =
            generated.map(|prompt| Unit::Generated(prompt, &subjects[&prompt.subject].class));
        let units: Vec<Unit<'_>> = units.chain(generated).collect();
        let setup = setup
            .option("scenes", scenes.len())
            .option("prompts", units.len() - scenes.len());
        let rows = |unit: usize| units.get(unit).map_or(0, Unit::things);
        lab.each_unit(&setup, units.len(), rows, |number, progress| {
            match &units[number] {
                Unit::Scene(scene) => {
                    progress.begin(&scene.caption);
                    of_scene(lab, number, scene, progress)
                }
                Unit::Generated(prompt, class) => {
                    progress.begin(&prompt.prompt);
                    self.of_generated(lab, number, prompt, class, progress)
                }
            }
        })?;
        if !knows {
            self.ask_for_masks(lab, &prompts, scenes.len())?;
        }
        Ok(())
    }
}

impl Unit<'_> {
    /// How many things it names: each has a row.
    fn things(&self) -> usize {
        match self {
            Self::Scene(scene) => scene.objects.len(),
            Self::Generated(prompt, _) => 1 + prompt.others.len(),
        }
    }
}

/// Maps of a scene noised to every step.
fn of_scene<P: Pipeline>(
    lab: &Lab<'_, P>,
    unit: usize,
    scene: &Scene,
    progress: &mut Progress,
) -> Result<Vec<Attention>, Box<dyn Error>> {
    let pipeline = &lab.pipeline;
    let phrases: Vec<&str> = scene
        .objects
        .iter()
        .map(|object| object.phrase.as_str())
        .collect();
    // one evaluation a step: nothing is guided where nothing is generated
    let request = request(lab, &scene.caption, &phrases)?.guidance_scale(1.0);
    let picture = open(&scene.image)?;
    let regions = scene
        .objects
        .iter()
        .map(|object| load_mask(&object.mask, &picture).map(Some));
    let regions: Vec<_> = regions.collect::<Result<_, _>>()?;
    let size = pipeline.profile().defaults.size;
    let (width, height) = (u32::try_from(size.width)?, u32::try_from(size.height)?);
    let picture = resize(&picture, width, height, Filter::Bicubic);
    let pixels = image_to_tensor(&picture, &pipeline.profile().device);
    let clean = pipeline.encode_picture(pixels, None, None)?;
    let conditioning = pipeline.condition(&request)?;
    let sites = pipeline.profile().conditioned.clone();
    let plan = pipeline.plan_around(&request, sites, CaptureLayer::new())?;
    let session = pipeline.renoise(&plan, &request, &conditioning, &clean, progress)?;
    let timesteps = pipeline.scheduler(&request)?.timesteps().to_vec();
    let empty = Attention::empty(unit, "scene", name(&scene.image), timesteps);
    let sites = pipeline.attention_sites();
    rows(&empty, &phrases, &session.finish(), &regions, sites)
}

impl Blocks {
    /// Maps of a picture that the text alone gives.
    fn of_generated<P: Pipeline>(
        &self,
        lab: &Lab<'_, P>,
        unit: usize,
        prompt: &Prompt,
        class: &str,
        progress: &mut Progress,
    ) -> Result<Vec<Attention>, Box<dyn Error>> {
        let pipeline = &lab.pipeline;
        let phrases: Vec<&str> = things(prompt).collect();
        let request = request(lab, &prompt.prompt, &phrases)?;
        let sites = pipeline.profile().conditioned.clone();
        let plan = pipeline.plan_around(&request, sites, CaptureLayer::new())?;
        let generation = pipeline.generate_with(&plan, &request, progress)?;
        let picture = file(unit, lab.common.seed);
        let path = lab.common.out.join(&picture);
        save_png(
            &path,
            &generation.images[0],
            &[("parameters", &prompt.prompt)],
        )?;
        let regions = match (&self.0.oracle_masks, &lab.oracle) {
            (Some(folder), _) => {
                let beyond = mask_of(folder, &path, phrases.len());
                if beyond.exists() {
                    let (beyond, things) = (beyond.display(), phrases.join(", "));
                    return Err(format!("{beyond}: its prompt names only {things}").into());
                }
                (0..phrases.len())
                    .map(|thing| {
                        load_mask(&mask_of(folder, &path, thing), &generation.images[0]).map(Some)
                    })
                    .collect::<Result<Vec<_>, _>>()?
            }
            (None, Oracle::Segmenter(segmenter)) => {
                let found = segmenter.regions(&generation.images[0], class, &prompt.others);
                std::iter::once(found.concept).chain(found.others).collect()
            }
            (None, Oracle::OwnMaps) => vec![None; phrases.len()],
        };
        let timesteps = pipeline.scheduler(&request)?.timesteps().to_vec();
        let empty = Attention::empty(unit, "generated", picture, timesteps);
        let sites = pipeline.attention_sites();
        rows(&empty, &phrases, &generation.captures, &regions, sites)
    }

    /// Generates the pictures for which masks are wanted, numbered behind the scenes, and says so.
    fn ask_for_masks<P: Pipeline>(
        &self,
        lab: &Lab<'_, P>,
        prompts: &[Prompt],
        scenes: usize,
    ) -> Result<(), Box<dyn Error>> {
        let mut progress = Progress::new("pictures", 0, prompts.len());
        for (index, prompt) in prompts.iter().enumerate() {
            progress.begin(&prompt.prompt);
            let path = lab.common.out.join(file(scenes + index, lab.common.seed));
            if !path.exists() {
                let request = request(lab, &prompt.prompt, &[])?;
                let generation = lab.pipeline.generate(&request, &mut progress)?;
                save_png(
                    &path,
                    &generation.images[0],
                    &[("parameters", &prompt.prompt)],
                )?;
            }
            progress.advance();
        }
        progress.finish();
        say!(
            "pictures without masks are in {}; mask each thing that its prompt names (PICTURE.0.png the concept, PICTURE.1.png the next, ..) and run again with --oracle-masks and another --out",
            lab.common.out.join("pictures/blocks").display()
        );
        Ok(())
    }
}

fn things(prompt: &Prompt) -> impl Iterator<Item = &str> {
    std::iter::once(&prompt.phrase)
        .chain(&prompt.others)
        .map(String::as_str)
}

fn file(unit: usize, seed: u64) -> String {
    format!("pictures/blocks/{unit:04}_{seed}.png")
}

/// `0012_0.png` and thing 1: `0012_0.1.png`.
fn mask_of(folder: &Path, picture: &Path, thing: usize) -> PathBuf {
    let stem = picture
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned());
    folder.join(format!("{}.{thing}.png", stem.unwrap_or_default()))
}

fn name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// A text-only request that watches phrases.
fn request<P: Pipeline>(
    lab: &Lab<'_, P>,
    prompt: &str,
    phrases: &[&str],
) -> Result<Request<P::Extra>, Box<dyn Error>> {
    let request = Request::new(prompt)
        .mode(Mode::TextOnly)
        .seed(lab.common.seed)
        .cancel(lab.interrupt.cancel());
    let mut request = with_settings(request, &lab.settings())?;
    request.concepts = phrases
        .iter()
        .map(|phrase| ConceptRequest::words_only(*phrase))
        .collect();
    Ok(request)
}

/// One row a phrase, with the AUC of every site's map at every step.
fn rows(
    empty: &Attention,
    phrases: &[&str],
    captures: &Captures,
    regions: &[Option<Array2<bool>>],
    sites: &AttentionSites,
) -> Result<Vec<Attention>, Box<dyn Error>> {
    if captures.dropped() > 0 {
        let dropped = captures.dropped();
        return Err(format!("{dropped} maps did not fit into memory: take fewer --steps").into());
    }
    let steps = empty.timesteps.len();
    let mut rows: Vec<Attention> = (phrases.iter())
        .map(|phrase| Attention {
            phrase: (*phrase).to_owned(),
            ..empty.clone()
        })
        .collect();
    for capture in captures.iter() {
        let (Some(stamp), Some(region)) = (capture.map.stamp(), &regions[capture.concept]) else {
            continue;
        };
        let Some(site) = sites.get(stamp.site) else {
            continue;
        };
        let others = regions
            .iter()
            .enumerate()
            .filter(|(thing, _)| *thing != capture.concept);
        let others: Vec<Array2<bool>> = others.filter_map(|(_, other)| other.clone()).collect();
        let row = &mut rows[capture.concept];
        let all = auc(&capture.map, 0, region.view())?;
        let of_objects = auc_within(&capture.map, 0, region.view(), &others)?;
        let mut put = |table: fn(&mut Attention) -> &mut BTreeMap<String, Vec<Option<f64>>>,
                       value| {
            let values = table(row)
                .entry(site.name.clone())
                .or_insert_with(|| vec![None; steps]);
            values[stamp.step] = value;
        };
        put(|row| &mut row.auc, all);
        put(|row| &mut row.auc_of_objects, of_objects);
    }
    Ok(rows)
}
