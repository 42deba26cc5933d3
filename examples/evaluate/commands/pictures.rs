//! Pictures of the same prompts, references and seeds, made in several ways and measured: what `masks` and `sweep` share.

use std::{collections::BTreeMap, error::Error};

use conceptrol_core::{
    models::image::save_png,
    pipeline::{LoraRequest, Pipeline},
};

use super::bench::Bench;
use crate::{
    data::{Prompt, Subject},
    lab::{Chosen, Lab},
    measure::Scorer,
    rows::{Picture, Settings, Setup},
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
    /// The concept block's masks, for each place of which concepts and background compete.
    Competition,
    /// The concept block's masks, spread over what looks like their cores.
    Spread,
    /// Where the thing is in the picture that the text alone gives.
    Truth,
    /// The model was tuned to the subject, and words ask for it; with these low-rank adapters of those that it keeps apart.
    Tuned(Vec<LoraRequest>),
}

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
    let scorer = lab.scorer(&prompts)?;
    lab.each_unit(setup, units.len(), rows, |unit, progress| {
        let tuned = match units[unit].first() {
            Some(prompt) => tune(unit, &subjects[&prompt.subject], progress)?,
            None => None,
        };
        let mut rows = Vec::with_capacity(units[unit].len() * variants.len() * seeds);
        for (index, prompt) in units[unit].iter().enumerate() {
            let place = Place {
                unit,
                prompt: index,
            };
            let bench = Bench::new(lab, prompt, &subjects[&prompt.subject], tuned.as_ref())?;
            let command = &setup.command;
            rows.extend(pictures(
                bench, &scorer, variants, command, place, progress,
            )?);
        }
        Ok(rows)
    })
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
    let segmented = lab.oracle.segmenter().is_some();
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
