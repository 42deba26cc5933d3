//! The command line as a request.

use std::error::Error;

use conceptrol_core::{
    MaskRole, SiteSelector, StepWindow,
    models::{
        image::{RgbImage, open, open_mask},
        lora::{LoraSummary, Part},
    },
    pipeline::{ConceptRequest, Identity, ImageSize, LoraRequest, Loras, Pipeline, Request},
};
use conceptrol_examples::say_err;

use crate::{
    arguments::Arguments,
    concepts::{ConceptArgument, MaskArgument, Phrase},
};

/// `warmup` is the family's, for a command line that has none.
pub(crate) fn request<P: Pipeline>(
    arguments: &Arguments,
    pipeline: &P,
    warmup: f64,
    extra: P::Extra,
) -> Result<Request<P::Extra>, Box<dyn Error>> {
    let prompt = arguments
        .prompt
        .as_deref()
        .ok_or("--model needs --prompt")?;
    let concepts = &arguments.concepts;
    if pipeline.adapters() == 0 {
        if !concepts.is_empty() {
            return Err("--concept needs --adapter".into());
        }
        if !arguments.identities.is_empty() {
            return Err("--identity needs --adapter".into());
        }
    }
    let phrases = phrases(arguments);
    let of_phrases = [
        ("--mask", &arguments.masks),
        ("--more-images", &arguments.more_images),
        ("--negative-image", &arguments.flux.negative_images),
    ];
    for (option, files) in of_phrases {
        let unnamed = files.iter().find(|file| {
            phrases
                .iter()
                .all(|phrase| !phrase.same_words(&file.phrase))
        });
        if let Some(file) = unnamed {
            let phrase = &file.phrase;
            return Err(format!("{option} names `{phrase}`, which no --concept does").into());
        }
    }

    let window = StepWindow::new(
        arguments.warmup.unwrap_or(warmup),
        arguments.until.unwrap_or(1.0),
    )?;
    let profile = pipeline.profile();
    let mut request = Request::new(prompt).extra(extra);
    request.start = arguments.start.start()?;
    let (height, width) = (arguments.height, arguments.width);
    if height.is_some() || width.is_some() {
        let own = pipeline.size(&request);
        let (height, width) = (height.unwrap_or(own.height), width.unwrap_or(own.width));
        request.size = Some(ImageSize::new(height, width));
    }
    let mut request = request
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
        .fidelity(arguments.fidelity.into());
    request.negative_prompts = (arguments.negative_prompt.clone()).map(|prompt| vec![prompt]);
    request.guidance.true_cfg_scale = arguments.flux.true_cfg_scale;
    request.vae_tile = arguments.vae_tile;
    if let Some(name) = &arguments.scheduler {
        request.scheduler = Some(profile.scheduler.with_name(name)?);
    }
    request.mask_source = (arguments.mask_source).source(pipeline, request.fidelity)?;
    for (sites, factor) in &arguments.site_scales {
        request = request.site_scale(SiteSelector::under(sites.clone()), *factor);
    }
    for (index, phrase) in phrases.iter().enumerate() {
        let picture = concepts.get(index);
        request = request.concept(concept(phrase, picture, arguments, pipeline)?);
    }
    for (lora, summary) in arguments.loras_at.iter().zip(apart(pipeline)) {
        let text = summary.total() - summary.layers.get(&Part::Denoiser).unwrap_or(&0);
        if text > 0 {
            let (file, phrase) = (lora.image.display(), &lora.phrase);
            say_err!(
                "warning: {file}: its {text} layers of text encoders are left out, as it acts at `{phrase}`"
            );
        }
    }
    for (index, lora) in arguments.loras_at.iter().enumerate() {
        let mut places = phrases.iter();
        let place = places.position(|phrase| phrase.same_words(&lora.phrase));
        let place = place.expect("its phrase is among them");
        request = request.lora(LoraRequest::new(index).strength(lora.scale).concept(place));
    }
    Ok(request)
}

/// The low-rank adapters that are kept apart.
fn apart<P: Pipeline>(pipeline: &P) -> impl Iterator<Item = &LoraSummary> {
    pipeline.loras().into_iter().flat_map(Loras::apart)
}

/// Every phrase that is to look like something, and then those where something acts only, each once.
pub(crate) fn phrases(arguments: &Arguments) -> Vec<Phrase> {
    let concepts = arguments.concepts.iter().map(|concept| &concept.phrase);
    let identities = arguments.identities.iter().map(|identity| &identity.phrase);
    let places = arguments.loras_at.iter().map(|lora| &lora.phrase);
    let places = places.chain(arguments.control.places());
    // two references for one occurrence stay two concepts: the pipeline says what is wrong with them
    let mut phrases: Vec<Phrase> = concepts.cloned().collect();
    for phrase in identities.chain(places) {
        if !phrases.iter().any(|known| known.same_words(phrase)) {
            phrases.push(phrase.clone());
        }
    }
    phrases
}

/// The concept of a phrase, with its picture if it has one.
fn concept<P: Pipeline>(
    phrase: &Phrase,
    picture: Option<&ConceptArgument>,
    arguments: &Arguments,
    pipeline: &P,
) -> Result<ConceptRequest, Box<dyn Error>> {
    let mut concept = ConceptRequest::words_only(&phrase.text)
        .occurrence(phrase.occurrence - 1)
        .adapter(phrase.adapter - 1);
    if let Some(picture) = picture {
        concept.image = Some(open(&picture.image)?);
        concept.scale = picture.scale;
    }
    let of_phrase = |pictures: &[MaskArgument]| -> Result<Vec<RgbImage>, Box<dyn Error>> {
        let own = (pictures.iter()).filter(|picture| picture.phrase.same_words(phrase));
        own.map(|picture| Ok(open(&picture.file)?)).collect()
    };
    concept.more_images = of_phrase(&arguments.more_images)?;
    let mut negative = of_phrase(&arguments.flux.negative_images)?;
    concept.negative_image = negative.pop();
    if !negative.is_empty() {
        return Err(format!("several --negative-image for `{phrase}`").into());
    }
    let mut faces = arguments.identities.iter();
    if let Some(face) = faces.find(|face| face.phrase.same_words(phrase)) {
        concept.identity = Some(Identity::open(&face.file)?);
    }
    let mut masks = arguments.masks.iter();
    let Some(mask) = masks.find(|mask| mask.phrase.same_words(phrase)) else {
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
