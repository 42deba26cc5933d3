//! Fifty concepts: how well the concept block finds each, by where it stands in the prompt and by what stands beside it.

use std::error::Error;

use conceptrol_core::{
    pipeline::{ConceptRequest, Mode, Pipeline, Request},
    processors::CaptureLayer,
};

use crate::{
    data::ConceptPrompts,
    lab::{Experiment, Lab, with_settings},
    measure::{Segmenter, auc},
    rows::Concept,
    watch::Progress,
};

/// Text-only pictures of each concept's prompts in one batch.
#[derive(Debug)]
pub(crate) struct Concepts;

impl Experiment for Concepts {
    fn run<P: Pipeline>(&self, lab: &Lab<'_, P>) -> Result<(), Box<dyn Error>> {
        let segmenter = (lab.oracle.segmenter())
            .ok_or("`concepts` needs to know where things are: give --segmenter")?;
        let mut concepts = lab.data.concepts()?;
        concepts.truncate(lab.common.count_of(concepts.len(), 50, 12));
        for concept in &concepts {
            if segmenter.class(&concept.class).is_none() {
                let (id, class) = (&concept.id, &concept.class);
                return Err(format!("concept `{id}`: the segmenter has no class `{class}`").into());
            }
        }
        let seeds = lab.common.seeds();
        let setup = lab.setup("concepts")?.option("concepts", concepts.len());
        let setup = setup.option("seeds", seeds);
        let rows = |unit: usize| concepts.get(unit).map_or(0, |c| c.prompts.len() * seeds);
        lab.each_unit(&setup, concepts.len(), rows, |unit, progress| {
            progress.begin(&concepts[unit].id);
            measure(lab, segmenter, unit, &concepts[unit], progress)
        })
    }
}

fn measure<P: Pipeline>(
    lab: &Lab<'_, P>,
    segmenter: &Segmenter,
    unit: usize,
    concept: &ConceptPrompts,
    progress: &mut Progress,
) -> Result<Vec<Concept>, Box<dyn Error>> {
    let pipeline = &lab.pipeline;
    let seeds = lab.common.seeds();
    let mut request = Request::new("").mode(Mode::TextOnly);
    request.prompts = concept.prompts.iter().map(|p| p.prompt.clone()).collect();
    let request = with_settings(request, &lab.settings())?
        .concept(ConceptRequest::words_only(&concept.phrase))
        .images_per_prompt(seeds)
        .seed(lab.common.seed)
        .cancel(lab.interrupt.cancel());
    let plan = pipeline.plan_around(&request, lab.concept_sites()?, CaptureLayer::new())?;
    let generation = pipeline.generate_with(&plan, &request, progress)?;
    let mut rows = Vec::with_capacity(generation.images.len());
    for (image, picture) in generation.images.iter().enumerate() {
        let prompt = &concept.prompts[image / seeds];
        let region = segmenter.regions(picture, &concept.class, &[]).concept;
        let auc = match region {
            None => None,
            Some(region) => {
                let steps = generation.captures.iter();
                let steps = steps.map(|capture| auc(&capture.map, image, region.view()));
                let steps: Vec<Option<f64>> = steps.collect::<Result<_, _>>()?;
                mean(&steps)
            }
        };
        rows.push(Concept {
            unit,
            concept: concept.id.clone(),
            kind: concept.kind.clone(),
            prompt: prompt.prompt.clone(),
            position: prompt.position.clone(),
            competitors: prompt.others.len(),
            seed: generation.seeds[image],
            auc,
        });
    }
    Ok(rows)
}

/// The mean of what is defined.
fn mean(values: &[Option<f64>]) -> Option<f64> {
    let defined: Vec<f64> = values.iter().flatten().copied().collect();
    (!defined.is_empty()).then(|| defined.iter().sum::<f64>() / defined.len() as f64)
}
