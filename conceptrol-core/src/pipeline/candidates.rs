//! Which phrase of a prompt a concept may be: proposed by a rule, shown by the concept block.

use burn::tensor::Tensor;

use crate::{
    concept::{NounPhrase, PhraseRole, noun_phrases},
    mask::ConceptMask,
    pipeline::{
        ConceptRequest, Generation, LoraRequest, Mode, Observer, Pipeline, PipelineError, Request,
        Words,
    },
    processors::CaptureLayer,
    seam::Captures,
};

/// The phrase that a single reference picture is of, if the prompt shows one thing only: its only
/// [subject](PhraseRole::Subject).
///
/// ```
/// use conceptrol_core::pipeline::only_subject;
///
/// assert_eq!(only_subject("a photo of a shaggy dog on the beach")?.text, "shaggy dog");
///
/// let error = only_subject("an apple and a rocket on the beach").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "which phrase the reference is of does not follow from the prompt, whose phrases are `apple` (subject), `rocket` \
///      (subject), `beach` (place): name one"
/// );
/// # Ok::<(), conceptrol_core::pipeline::PipelineError>(())
/// ```
///
/// # Errors
///
/// [`PipelineError::AmbiguousConcept`] with the phrases of the prompt, if none or several of them are subjects.
pub fn only_subject(prompt: &str) -> Result<NounPhrase, PipelineError> {
    let candidates = noun_phrases(prompt);
    let mut subjects = candidates
        .iter()
        .filter(|phrase| phrase.role == PhraseRole::Subject);
    match (subjects.next(), subjects.next()) {
        (Some(only), None) => Ok(only.clone()),
        _ => Err(PipelineError::AmbiguousConcept { candidates }),
    }
}

/// Where the concept block sees a phrase.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LocalizedPhrase {
    /// The phrase.
    pub phrase: NounPhrase,
    /// The mean over the evaluations of what the block attends to it, one row a picture, before normalisation.
    pub map: ConceptMask,
}

/// Generates the first prompt of a request without references, and watches where the concept block sees each phrase.
///
/// `analysis::sharpness` of a map says how much it points at a place. Phrases the text encoder does not see are an error.
///
/// # Errors
///
/// As [`Pipeline::generate`], and [`PipelineError::NoConceptBlock`] for a model whose block is not known.
pub fn localize<P: Pipeline>(
    pipeline: &P,
    request: &Request<P::Extra>,
    phrases: &[NounPhrase],
    observer: &mut dyn Observer,
) -> Result<(Vec<LocalizedPhrase>, Generation), PipelineError> {
    let profile = pipeline.profile();
    let Some(block) = pipeline.concept_block(request.fidelity) else {
        let sites = profile.conditioned.resolve(&profile.sites)?;
        let sites = sites.into_iter().map(|site| site.name.clone()).collect();
        return Err(PipelineError::NoConceptBlock { sites });
    };
    let mut watched = request.clone().mode(Mode::TextOnly);
    watched.prompts.truncate(1);
    watched
        .loras
        .retain(|lora: &LoraRequest| lora.concept.is_none());
    watched.concepts = phrases
        .iter()
        .map(|phrase| {
            let words = Words::Bytes(phrase.bytes.clone());
            ConceptRequest::words_only(&phrase.text).words(words)
        })
        .collect();
    let plan = pipeline.plan_around(&watched, block.sites().clone(), CaptureLayer::new())?;
    let generation = pipeline.generate_with(&plan, &watched, observer)?;
    let localized = phrases.iter().enumerate().filter_map(|(concept, phrase)| {
        Some(LocalizedPhrase {
            phrase: phrase.clone(),
            map: mean(&generation.captures, concept)?,
        })
    });
    Ok((localized.collect(), generation))
}

/// The mean of all maps of a concept; nothing if none was captured.
fn mean(captures: &Captures, concept: usize) -> Option<ConceptMask> {
    let of = captures.iter().filter(|capture| capture.concept == concept);
    let maps: Vec<&ConceptMask> = of.map(|capture| &capture.map).collect();
    let grid = maps.first()?.grid();
    let same = maps.iter().filter(|map| map.grid() == grid);
    let values: Vec<Tensor<3>> = same.map(|map| map.values().clone().unsqueeze()).collect();
    let values = Tensor::cat(values, 0).mean_dim(0).squeeze_dim::<2>(0);
    ConceptMask::new(values, grid).ok()
}
