//! Whole generations, step by step.

use std::sync::Arc;

use burn::tensor::Device;
use conceptrol_core::{
    Concept,
    models::image::{Filter, image_to_tensor, resize},
    pipeline::{Family, LoadOptions, Mode, Pipeline},
};
use conceptrol_flux::{Flux, latents::pack, pipeline::Request};

use super::refresh::Counter;
use crate::{
    Outcome,
    case::{Arrays, Case, array, id_array},
    report::Report,
    request, trace,
};

pub(super) fn run(case: &Case, device: &Device, report: &mut Report) -> Outcome {
    let (inputs, expected) = (case.inputs()?, case.expected()?);
    let options = LoadOptions::new(device.clone()).adapter(case.file("lora")?);
    let pipeline = Flux::open(case.file("model")?, options)?;
    let mut request = flux_request(case)?;
    let counter = Arc::new(Counter::of(case)?);
    if request.mode == Mode::Conceptrol {
        request = request.mask_source(Arc::clone(&counter));
    }

    let pieces = pipeline.tokenize(&request.prompts[0], &request.extra)?;
    let ids = id_array(std::slice::from_ref(&pieces.ids));
    report.array("t5_input_ids", &ids, &inputs["t5_input_ids"]);
    let clip = pipeline.tokenizers().clip.encode(&request.prompts[0]);
    report.array(
        "clip_input_ids",
        &id_array(&[clip.ids]),
        &inputs["clip_input_ids"],
    );
    compare_posterior(&pipeline, &request, &expected, device, report)?;

    let conditioning = pipeline.condition(&request)?;
    let states = &conditioning.states;
    report.tensor(
        "prompt_embeds",
        states.text.clone(),
        &expected["prompt_embeds"],
    );
    report.tensor(
        "pooled_prompt_embeds",
        states.pooled.clone(),
        &expected["pooled_prompt_embeds"],
    );
    let packed = |latents| array(pack(latents));
    report.within(
        "noise",
        &packed(conditioning.latents.clone()),
        &inputs["latents"],
        2e-6,
    );
    if let Some(wanted) = expected.get("condition_tokens") {
        report.tensor(
            "condition_tokens",
            states.conditions[0].tokens.clone(),
            wanted,
        );
    }
    compare_span(case, &conditioning.concepts, report);

    let plan = pipeline.plan(&request)?;
    let (latents, _) = trace::run(
        &pipeline,
        &plan,
        &request,
        &conditioning,
        packed,
        &expected,
        report,
    )?;
    let mut compare = |name: &str, values: Vec<f32>| report.values(name, values, &expected);
    let refreshes = counter.refreshes();
    let when = refreshes.iter().flat_map(|refresh| refresh.when);
    compare("concept_mask_refresh", when.collect());
    let masks = refreshes.into_iter().flat_map(|refresh| refresh.log_mask);
    compare("concept_mask_log", masks.collect());
    let unscaled = pipeline.vae()?.unscale(latents.clone());
    report.tensor("vae_in", unscaled, &expected["vae_in"]);
    trace::compare_picture(&pipeline, latents, &expected, report)
}

fn flux_request(case: &Case) -> Result<Request, Box<dyn std::error::Error>> {
    let params = case.params();
    let mut request: Request = request::common(case)?;
    let tokens = params["max_sequence_length"].as_u64();
    request.extra.text_tokens = usize::try_from(tokens.ok_or("no max_sequence_length")?)?;
    let strength = params["condition_scale"].as_f64();
    #[expect(clippy::cast_possible_truncation, reason = "scales are short decimals")]
    let strength = strength.ok_or("no condition_scale")? as f32;
    Ok(request.scale(strength))
}

fn compare_posterior(
    pipeline: &Flux,
    request: &Request,
    expected: &Arrays,
    device: &Device,
    report: &mut Report,
) -> Outcome {
    let Some(mean) = expected.get("condition_mean") else {
        return Ok(());
    };
    let picture = request.concepts[0].image.as_ref().ok_or("no picture")?;
    let picture = resize(picture, 512, 512, Filter::Bicubic);
    let pixels = image_to_tensor(&picture, device);
    let posterior = pipeline.vae()?.encode(pixels, None)?;
    report.tensor("condition_mean", posterior.mean(), mean);
    report.tensor("condition_std", posterior.std(), &expected["condition_std"]);
    Ok(())
}

fn compare_span(case: &Case, concepts: &[Concept], report: &mut Report) {
    let wanted = &case.json["concepts"][0]["span"];
    let Some(span) = concepts
        .first()
        .and_then(|concept| concept.spans.first()?.first())
    else {
        return;
    };
    let same = wanted[0].as_u64() == Some(span.start as u64)
        && wanted[1].as_u64() == Some(span.end as u64);
    report.exact("span", same, || format!("{span:?}, expected {wanted}"));
}
