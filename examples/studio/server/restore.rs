//! The settings that a PNG was made with, as far as the page has them.

use std::{ops::Range, path::Path};

use conceptrol_core::models::scheduler::SchedulerName;
use conceptrol_examples::{parameters::Told, phrase::places};
use serde::Serialize;

use super::state::Shared;

/// What a picture says of itself. What it does not say is left as it is.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Restored {
    prompt: String,
    negative_prompt: String,
    model: Option<String>,
    adapter: Option<String>,
    concept: Option<Range<usize>>,
    /// The reference, if its file is here.
    reference: Option<String>,
    reference_name: Option<String>,
    scale: Option<f32>,
    warmup: Option<f64>,
    steps: Option<usize>,
    guidance: Option<f64>,
    scheduler: Option<String>,
    seed: Option<String>,
    width: Option<usize>,
    height: Option<usize>,
    /// What could not be restored.
    notes: Vec<String>,
}

/// Entries that need no note: they are restored, or the page's pictures always have them so.
const UNDERSTOOD: [&str; 14] = [
    "Steps",
    "Sampler",
    "CFG scale",
    "Seed",
    "Method",
    "Size",
    "Condition scale",
    "Window",
    "Concept",
    "Model",
    "Adapter",
    "Type",
    "Backend",
    "Version",
];

/// Reads the text of a picture; nothing if it is not of the usual form.
pub(crate) fn restore(text: &str, shared: &Shared) -> Option<Restored> {
    let told = Told::read(text)?;
    let number = |name| told.get(name).and_then(|value| value.parse().ok());
    let mut restored = Restored {
        scale: number("Condition scale").map(narrow),
        guidance: number("CFG scale"),
        steps: told.get("Steps").and_then(|steps| steps.parse().ok()),
        seed: told.get("Seed").map(str::to_owned),
        ..Restored::default()
    };
    if let Some((width, height)) = told.get("Size").and_then(|size| size.split_once('x')) {
        restored.width = width.parse().ok();
        restored.height = height.parse().ok();
    }
    let mut notes = Vec::new();
    if let Some(sampler) = told.get("Sampler") {
        match sampler.parse::<SchedulerName>() {
            Ok(_) => restored.scheduler = Some(sampler.to_owned()),
            Err(_) => notes.push(format!("The sampler `{sampler}` is not known.")),
        }
    }
    if let Some((start, end)) = told
        .get("Window")
        .and_then(|window| window.split_once(" to "))
    {
        restored.warmup = start.parse().ok();
        if end != "1" {
            notes.push(format!(
                "The reference acted until {end} of the steps; here it acts to the end."
            ));
        }
    }
    restored.place(&told, shared, &mut notes);
    restored.concept(&told, shared, &mut notes);
    if told
        .get("Fidelity")
        .is_some_and(|fidelity| fidelity != "Paper")
    {
        notes.push("It followed the authors' code; here the paper is followed.".into());
    }
    let unknown = (told.entries.iter())
        .filter(|(name, _)| !UNDERSTOOD.contains(&&**name) && name != "Fidelity");
    let mut unknown: Vec<&str> = unknown.map(|(name, _)| name.as_str()).collect();
    unknown.dedup();
    if !unknown.is_empty() {
        notes.push(format!("Not restored: {}.", unknown.join(", ")));
    }
    restored.prompt = told.prompt;
    restored.negative_prompt = told.negative;
    restored.notes = notes;
    Some(restored)
}

impl Restored {
    /// Model and adapter, by label or by the end of a path.
    fn place(&mut self, told: &Told, shared: &Shared, notes: &mut Vec<String>) {
        let catalogue = &shared.catalogue;
        let same = |label: &str, path: &Path, said: &str| {
            label == said || path.file_name().is_some_and(|name| *name == *last(said))
        };
        if let Some(said) = told.get("Model") {
            let found = catalogue
                .models
                .iter()
                .find(|model| same(&model.label, &model.path, said));
            self.model = found.map(|model| model.label.clone());
            if found.is_none() {
                notes.push(format!("The model `{}` is not here.", last(said)));
            }
        }
        if let Some(said) = told.get("Adapter") {
            let found = catalogue
                .adapters
                .iter()
                .find(|adapter| same(&adapter.label, &adapter.path, said));
            self.adapter = found.map(|adapter| adapter.label.clone());
            if found.is_none() {
                notes.push(format!("The adapter `{}` is not here.", last(said)));
            }
        }
    }

    /// `PHRASE[#N] FILE sha256:HASH scale SCALE`
    fn concept(&mut self, told: &Told, shared: &Shared, notes: &mut Vec<String>) {
        let Some((named, rest)) = told
            .get("Concept")
            .and_then(|said| said.split_once(" sha256:"))
        else {
            return;
        };
        let concepts = told.entries.iter().filter(|(name, _)| name == "Concept");
        if concepts.count() > 1 {
            notes.push("It had several concepts; the first is restored.".into());
        }
        if !rest.ends_with(" scale 1") {
            notes.push("The concept had a scale of its own, which is not restored.".into());
        }
        let hash = rest.split(' ').next().unwrap_or_default();
        // a phrase and a file name may both have spaces: the longest beginning that the prompt has is the phrase
        let ends = named.rmatch_indices(' ').map(|(at, _)| at);
        let found = ends
            .filter_map(|at| Some((phrase(&told.prompt, &named[..at])?, &named[at + 1..])))
            .next();
        let Some((bytes, file)) = found else {
            notes.push("The words of the concept are not in the prompt.".into());
            return;
        };
        self.concept = Some(bytes);
        match shared.picture(hash) {
            Some(picture) => {
                self.reference = Some(picture.id.clone());
                self.reference_name = Some(picture.name.clone());
            }
            None => notes.push(format!("Drop the reference picture `{file}` again.")),
        }
    }
}

/// The bytes of `PHRASE[#N]` in a prompt.
fn phrase(prompt: &str, named: &str) -> Option<Range<usize>> {
    let nth = named
        .rsplit_once('#')
        .and_then(|(phrase, nth)| Some((phrase, nth.parse::<usize>().ok()?)));
    let (phrase, nth) = nth.unwrap_or((named, 1));
    places(prompt, phrase).into_iter().nth(nth.checked_sub(1)?)
}

/// The last part of a path.
fn last(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "it was written from an f32"
)]
fn narrow(value: f64) -> f32 {
    value as f32
}
