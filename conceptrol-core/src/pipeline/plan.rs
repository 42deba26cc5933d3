//! From a request to the plan of its attention.

use std::sync::Arc;

use crate::{
    concept::MaskRole,
    mask::{ConceptMaskSource, Fixed, OwnMask},
    pipeline::{ConceptRequest, Family, Fidelity, Mode, PipelineError, Request, Words},
    processors::ConceptrolLayer,
    seam::{AttentionPlan, AttentionPlanBuilder},
};

/// Adds Conceptrol and the adapters it gates to a plan.
pub(super) fn fill<F: Family + ?Sized>(
    family: &F,
    mut builder: AttentionPlanBuilder<'_>,
    request: &Request<F::Extra>,
) -> Result<AttentionPlan, PipelineError> {
    check_loras(family, request)?;
    if let Some(loras) = family.loras() {
        builder = loras.install(builder, &request.loras, family.profile())?;
    }
    let references = request.has_references();
    check_adapters(family, request)?;
    let gates = references && request.mode == Mode::Conceptrol;
    if gates || places(request).any(|concept| !has_own_place(concept)) {
        let conditioned = family.profile().conditioned.clone();
        let source = mask_source(family, request)?;
        let layer = match gates {
            true => ConceptrolLayer::new(source),
            false => ConceptrolLayer::watching(source),
        };
        builder = builder.layer(conditioned, layer);
    }
    if references {
        builder = family.install(builder, request)?;
    }
    Ok(builder.build()?)
}

/// The concepts at which low-rank adapters act.
fn places<X>(request: &Request<X>) -> impl Iterator<Item = &ConceptRequest> {
    let named = request.loras.iter().filter_map(|lora| lora.concept);
    named.filter_map(|index| request.concepts.get(index))
}

/// Whether its place is the user's own mask alone.
fn has_own_place(concept: &ConceptRequest) -> bool {
    let alone = concept.mask_role == MaskRole::Instead || concept.words == Words::Everywhere;
    concept.mask.is_some() && alone
}

/// That every low-rank adapter the request uses is loaded, and acts at a concept that has a place.
pub(super) fn check_loras<F: Family + ?Sized>(
    family: &F,
    request: &Request<F::Extra>,
) -> Result<(), PipelineError> {
    let loaded = family.loras().map_or(0, |loras| loras.apart().len());
    if let Some(lora) = request.loras.iter().find(|lora| lora.lora >= loaded) {
        let expected = format!("below the {loaded} that are kept apart");
        let what = "the number of a low-rank adapter";
        return Err(PipelineError::bad_request(what, lora.lora, expected));
    }
    let concepts = request.concepts.len();
    let named = || request.loras.iter().filter_map(|lora| lora.concept);
    if let Some(index) = named().find(|index| *index >= concepts) {
        let expected = format!("below the {concepts} of the request");
        let what = "the concept of a low-rank adapter";
        return Err(PipelineError::bad_request(what, index, expected));
    }
    if named().next().is_some() && request.fidelity == Fidelity::Authors {
        return Err(PipelineError::Unsupported {
            family: "the authors' code",
            what: "low-rank adapter that acts at a concept".into(),
        });
    }
    let nowhere =
        |concept: &&ConceptRequest| concept.words == Words::Everywhere && concept.mask.is_none();
    match places(request).find(nowhere) {
        None => Ok(()),
        Some(concept) => Err(PipelineError::NoWords {
            concept: concept.name.clone(),
        }),
    }
}

/// That every concept has a picture, an adapter that carries it, and words where a mask is read from them.
pub(super) fn check_adapters<F: Family + ?Sized>(
    family: &F,
    request: &Request<F::Extra>,
) -> Result<(), PipelineError> {
    if !request.has_references() {
        return Ok(());
    }
    let loaded = family.adapters();
    for concept in request.conditioned() {
        let name = || concept.name.clone();
        if loaded == 0 {
            let needed = format!("concept `{}`", concept.name);
            return Err(PipelineError::NoAdapter { needed });
        }
        if concept.adapter >= loaded {
            let expected = format!("below the {loaded} that are loaded");
            let what = "the adapter of a concept";
            return Err(PipelineError::bad_request(what, concept.adapter, expected));
        }
        if !concept.has_reference() {
            return Err(PipelineError::NoPicture { concept: name() });
        }
        let reads_words = request.mode == Mode::Conceptrol && concept.mask.is_none();
        if reads_words && request.mask_source.is_none() && concept.words == Words::Everywhere {
            return Err(PipelineError::NoWords { concept: name() });
        }
    }
    Ok(())
}

/// Where the masks of a request come from.
pub(super) fn mask_source<F: Family + ?Sized>(
    family: &F,
    request: &Request<F::Extra>,
) -> Result<Arc<dyn ConceptMaskSource>, PipelineError> {
    let own_masks = || {
        request
            .concepts
            .iter()
            .map(|concept| concept.mask.is_some())
    };
    let source: Arc<dyn ConceptMaskSource> = match &request.mask_source {
        Some(source) => Arc::clone(source),
        None => match family.concept_block(request.fidelity) {
            Some(block) => Arc::new(block),
            // every concept has a mask of its own: no block is read
            None if own_masks().all(|own| own) => Arc::new(Fixed::required()),
            None => {
                let profile = family.profile();
                let sites = profile.conditioned.resolve(&profile.sites)?;
                return Err(PipelineError::NoConceptBlock {
                    sites: sites.into_iter().map(|site| site.name.clone()).collect(),
                });
            }
        },
    };
    Ok(if own_masks().any(|own| own) {
        Arc::new(OwnMask::over(source))
    } else {
        source
    })
}
