//! From a request to the plan of its attention.

use std::sync::Arc;

use crate::{
    mask::{ConceptMaskSource, Fixed, OwnMask},
    pipeline::{Family, Mode, PipelineError, Request, Words},
    processors::ConceptrolLayer,
    seam::{AttentionPlan, AttentionPlanBuilder},
};

/// Adds Conceptrol and the adapters it gates to a plan.
pub(super) fn fill<F: Family + ?Sized>(
    family: &F,
    mut builder: AttentionPlanBuilder<'_>,
    request: &Request<F::Extra>,
) -> Result<AttentionPlan, PipelineError> {
    if !request.has_references() {
        return Ok(builder.build()?);
    }
    check_adapters(family, request)?;
    if request.mode == Mode::Conceptrol {
        let conditioned = family.profile().conditioned.clone();
        let source = mask_source(family, request)?;
        builder = builder.layer(conditioned, ConceptrolLayer::new(source));
    }
    Ok(family.install(builder, request)?.build()?)
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
    for concept in &request.concepts {
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
        if concept.image.is_none() {
            return Err(PipelineError::NoPicture { concept: name() });
        }
        let reads_words = request.mode == Mode::Conceptrol && concept.mask.is_none();
        if reads_words && request.mask_source.is_none() && concept.words == Words::Everywhere {
            return Err(PipelineError::NoWords { concept: name() });
        }
    }
    Ok(())
}

fn mask_source<F: Family + ?Sized>(
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
