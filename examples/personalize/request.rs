//! The command line as a request.

use std::error::Error;

use conceptrol_core::{
    MaskRole, SiteSelector, StepWindow,
    models::image::{open, open_mask},
    pipeline::{ConceptRequest, ImageSize, Pipeline, Request},
};
use conceptrol_examples::say_err;

use crate::{arguments::Arguments, concepts::ConceptArgument};

/// `warmup` is the family's, for a command line that has none.
pub(crate) fn request<P: Pipeline>(
    arguments: &Arguments,
    pipeline: &P,
    warmup: f64,
) -> Result<Request<P::Extra>, Box<dyn Error>> {
    let prompt = arguments
        .prompt
        .as_deref()
        .ok_or("--model needs --prompt")?;
    let concepts = &arguments.concepts;
    if !concepts.is_empty() && pipeline.adapters() == 0 {
        return Err("--concept needs --adapter".into());
    }
    let unnamed = (arguments.masks.iter())
        .find(|mask| concepts.iter().all(|concept| concept.phrase != mask.phrase));
    if let Some(mask) = unnamed {
        return Err(format!("--mask names `{}`, which no --concept does", mask.phrase).into());
    }

    let window = StepWindow::new(
        arguments.warmup.unwrap_or(warmup),
        arguments.until.unwrap_or(1.0),
    )?;
    let profile = pipeline.profile();
    let own = profile.defaults.size;
    let size = ImageSize::new(
        arguments.height.unwrap_or(own.height),
        arguments.width.unwrap_or(own.width),
    );
    let mut request = Request::new(prompt)
        .scale(arguments.scale.unwrap_or(1.0))
        .window(window)
        .steps(arguments.steps.unwrap_or(profile.defaults.steps))
        .guidance_scale(
            arguments
                .guidance
                .map_or(profile.defaults.guidance, f64::from),
        )
        .seed(arguments.seed.unwrap_or(0))
        .images_per_prompt(arguments.images as usize)
        .size(size)
        .fidelity(arguments.fidelity.into());
    request.negative_prompts = (arguments.negative_prompt.clone()).map(|prompt| vec![prompt]);
    request.vae_tile = arguments.vae_tile;
    if let Some(name) = &arguments.scheduler {
        request.scheduler = Some(profile.scheduler.with_name(name)?);
    }
    if let Some(site) = &arguments.concept_block {
        request = request.mask_source(profile.block_at(SiteSelector::named(site)));
    }
    for (sites, factor) in &arguments.site_scales {
        request = request.site_scale(SiteSelector::under(sites.clone()), *factor);
    }
    for concept in concepts {
        request = request.concept(self::concept(concept, arguments, pipeline)?);
    }
    Ok(request)
}

fn concept<P: Pipeline>(
    argument: &ConceptArgument,
    arguments: &Arguments,
    pipeline: &P,
) -> Result<ConceptRequest, Box<dyn Error>> {
    let phrase = &argument.phrase;
    let concept = ConceptRequest::new(&phrase.text, open(&argument.image)?)
        .scale(argument.scale)
        .occurrence(phrase.occurrence - 1);
    let Some(mask) = arguments.masks.iter().find(|mask| mask.phrase == *phrase) else {
        return Ok(concept);
    };
    let drawn = open_mask(&mask.file)?;
    if let Some(warning) = &drawn.warning {
        say_err!("warning: {}: {warning}", mask.file.display());
    }
    let mask = drawn.to_concept_mask(&pipeline.profile().device);
    Ok(concept
        .mask(mask)
        .mask_role(MaskRole::from(arguments.mask_role)))
}
