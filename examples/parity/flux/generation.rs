//! Whole generations, step by step.

use std::{error::Error, ops::ControlFlow, sync::Arc};

use burn::tensor::{Device, FloatDType};
use conceptrol_core::{
    AttentionPlan, Concept, ConditionSchedule, SiteSelector, StepWindow,
    models::image::{Filter, image_to_tensor, open, resize},
    pipeline::Fidelity,
    processors::{ConceptrolLayer, JointConditionLayer},
};
use conceptrol_flux::{
    attention_sites,
    latents::{token_grid, unpack},
    load::{FluxFolder, Residency},
    omini::Placement,
    pipeline::{ConceptRequest, FluxPipeline, FluxRequest, Progress, ominicontrol_plan},
};

use super::refresh::Counter;
use crate::{
    Outcome,
    case::{Arrays, Case, array, id_array},
    report::Report,
};

pub(super) fn run(case: &Case, device: &Device, report: &mut Report) -> Outcome {
    let (inputs, expected) = (case.inputs()?, case.expected()?);
    let folder = FluxFolder::open(case.file("model")?, device, FloatDType::F32)?;
    let mut pipeline = FluxPipeline::load(folder, Residency::Memory)?;
    pipeline.load_condition_adapter(case.file("lora")?, Placement::RightOfPicture)?;
    let request = request(case)?;

    let prompt = pipeline.encode_prompt(&request.prompt, request.text_tokens)?;
    report.tensor(
        "prompt_embeds",
        prompt.text.clone(),
        &expected["prompt_embeds"],
    );
    report.tensor(
        "pooled_prompt_embeds",
        prompt.pooled.clone(),
        &expected["pooled_prompt_embeds"],
    );
    let tokenizers = pipeline.tokenizers();
    let t5 = tokenizers
        .t5
        .encode(&request.prompt, request.text_tokens)?
        .ids;
    report.array("t5_input_ids", &id_array(&[t5]), &inputs["t5_input_ids"]);
    report.array(
        "clip_input_ids",
        &id_array(&[tokenizers.clip.encode(&request.prompt).ids]),
        &inputs["clip_input_ids"],
    );
    compare_posterior(&pipeline, &request, &expected, device, report)?;

    let counter = Arc::new(Counter::of(case)?);
    let config = pipeline.config();
    let plan = if case.params()["method"] == "ominicontrol" {
        ominicontrol_plan(config)?
    } else {
        AttentionPlan::builder(&attention_sites(config))
            .layer(
                SiteSelector::joint(),
                ConceptrolLayer::new(Arc::clone(&counter)),
            )
            .layer(SiteSelector::joint(), JointConditionLayer::new())
            .build()?
    };
    let prepared = pipeline.prepare(&request)?;
    report.within(
        "noise",
        &array(prepared.latents.clone()),
        &inputs["latents"],
        2e-6,
    );
    if let Some(wanted) = expected.get("condition_tokens") {
        report.tensor(
            "condition_tokens",
            prepared.conditions[0].tokens.clone(),
            wanted,
        );
    }
    compare_span(case, &prepared.concepts, report);

    let (mut velocities, mut latents) = (Vec::new(), array(prepared.latents.clone()).values);
    let (last, _) =
        pipeline.denoise(&request, &prepared, &plan, &mut |progress: Progress<'_>| {
            velocities.extend(array(progress.velocity.clone()).values);
            latents.extend(array(progress.latents.clone()).values);
            ControlFlow::Continue(())
        })?;
    let mut compare = |name: &str, values: Vec<f32>| report.values(name, values, &expected);
    compare(
        "timesteps",
        (0..request.steps)
            .map(|step| prepared.schedule.timestep(step))
            .collect(),
    );
    compare("sigmas", prepared.schedule.sigmas().to_vec());
    compare("noise_pred", velocities);
    compare("latents", latents);
    let refreshes = counter.refreshes();
    compare(
        "concept_mask_refresh",
        refreshes.iter().flat_map(|refresh| refresh.when).collect(),
    );
    compare(
        "concept_mask_log",
        refreshes
            .into_iter()
            .flat_map(|refresh| refresh.log_mask)
            .collect(),
    );
    let grid = token_grid(request.height, request.width)?;
    let vae_in = pipeline.autoencoder().unscale(unpack(last.clone(), grid));
    report.tensor("vae_in", vae_in, &expected["vae_in"]);
    report.tensor(
        "image_raw",
        pipeline.decode(last, grid, None)?,
        &expected["image_raw"],
    );
    Ok(())
}

fn request(case: &Case) -> Result<FluxRequest, Box<dyn Error>> {
    let params = case.params();
    let number = |name: &str| params[name].as_f64().ok_or(format!("no number `{name}`"));
    let whole = |name: &str| -> Result<usize, Box<dyn Error>> {
        Ok(usize::try_from(
            params[name]
                .as_u64()
                .ok_or(format!("no whole number `{name}`"))?,
        )?)
    };
    let window = StepWindow::new(
        number("control_guidance_start")?,
        number("control_guidance_end")?,
    )?;
    let list = |name: &str| params[name].as_array().cloned().unwrap_or_default();
    let mut concepts = Vec::new();
    for (words, image) in list("subjects").iter().zip(list("images")) {
        let image = open(case.image(image.as_str().ok_or("an image without a name")?))?;
        concepts.push(ConceptRequest::new(
            words.as_str().ok_or("a subject without words")?,
            image,
        ));
    }
    #[expect(clippy::cast_possible_truncation, reason = "scales are short decimals")]
    let (guidance, strength) = (
        number("guidance_scale")? as f32,
        number("condition_scale")? as f32,
    );
    Ok(FluxRequest {
        concepts,
        height: whole("height")?,
        width: whole("width")?,
        steps: whole("num_inference_steps")?,
        guidance,
        seeds: vec![whole("seed")? as u64],
        condition: ConditionSchedule::new(strength, window).outside(0.5),
        text_tokens: whole("max_sequence_length")?,
        fidelity: Fidelity::Authors,
        ..FluxRequest::new(params["prompt"].as_str().ok_or("no prompt")?)
    })
}

fn compare_posterior(
    pipeline: &FluxPipeline,
    request: &FluxRequest,
    expected: &Arrays,
    device: &Device,
    report: &mut Report,
) -> Outcome {
    let Some(mean) = expected.get("condition_mean") else {
        return Ok(());
    };
    let picture = resize(&request.concepts[0].picture, 512, 512, Filter::Bicubic);
    let posterior = pipeline
        .autoencoder()
        .encode(image_to_tensor(&picture, device), None)?;
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
