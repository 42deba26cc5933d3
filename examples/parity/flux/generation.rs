//! Whole generations, step by step.

use std::{error::Error, path::Path, sync::Arc};

use burn::tensor::{Device, Tensor};
use conceptrol_core::{
    Concept,
    models::image::{self, Filter, image_to_tensor, resize},
    pipeline::{ConceptRequest, Conditioning, Family, LoadOptions, Mode, Pipeline, Words},
};
use conceptrol_flux::{
    Flux,
    latents::pack,
    omini::ConditionSize,
    pipeline::{Encoded, FluxOptions, Kind, Request},
};

use super::{ip_adapter, kontext, redux, refresh::Counter};
use crate::{
    Outcome,
    case::{Arrays, Case, array, id_array},
    report::Report,
    request, start, trace,
};

pub(super) fn run(case: &Case, device: &Device, report: &mut Report) -> Outcome {
    let (inputs, expected) = (case.inputs()?, case.expected()?);
    let pipeline = open(case, device)?;
    let mut request = flux_request(case)?;
    let mut counter = None;
    if request.mode == Mode::Conceptrol {
        let refreshes = Arc::new(Counter::of(case)?);
        request = request.mask_source(Arc::clone(&refreshes));
        counter = Some(refreshes);
    }

    if inputs.contains_key("t5_input_ids") {
        let further = &request.extra.redux.further_prompts;
        let prompts: Vec<&String> = request.prompts.iter().chain(further).collect();
        let (mut t5, mut clip) = (Vec::new(), Vec::new());
        for prompt in prompts {
            t5.push(pipeline.tokenize(prompt, &request.extra)?.ids);
            clip.push(pipeline.tokenizers().clip.encode(prompt).ids);
        }
        report.array("t5_input_ids", &id_array(&t5), &inputs["t5_input_ids"]);
        report.array(
            "clip_input_ids",
            &id_array(&clip),
            &inputs["clip_input_ids"],
        );
    }
    if let Some(negative) = request.negative_prompts.as_ref().map(|prompts| &prompts[0]) {
        let pieces = pipeline.tokenize(negative, &request.extra)?;
        let wanted = &inputs["negative_t5_input_ids"];
        report.array("negative_t5_input_ids", &id_array(&[pieces.ids]), wanted);
        let clip = pipeline.tokenizers().clip.encode(negative);
        let wanted = &inputs["negative_clip_input_ids"];
        report.array("negative_clip_input_ids", &id_array(&[clip.ids]), wanted);
    }
    compare_posterior(&pipeline, &request, &expected, device, report)?;

    let conditioning = pipeline.condition(&request)?;
    let (states, batch) = (&conditioning.states, conditioning.batch);
    let halves = [
        ("negative_", 0..batch.conditional().start),
        ("", batch.conditional()),
    ];
    for (half, rows) in halves.into_iter().filter(|(_, rows)| !rows.is_empty()) {
        let text = states.text().clone().slice_dim(0, rows.clone());
        let name = format!("{half}prompt_embeds");
        report.tensor(&name, text, &expected[&name]);
        let pooled = states.pooled().clone().slice_dim(0, rows);
        let name = format!("{half}pooled_prompt_embeds");
        report.tensor(&name, pooled, &expected[&name]);
    }
    let packed = |latents| array(pack(latents));
    compare_start(
        &pipeline,
        &request,
        &conditioning,
        [&inputs, &expected],
        report,
    )?;
    if let Some(wanted) = expected.get("condition_tokens") {
        report.tensor(
            "condition_tokens",
            states.conditions[0].tokens.clone(),
            wanted,
        );
    }
    if is_kontext(case) {
        kontext::compare_reference(&pipeline, states, &expected, report)?;
    }
    if redux::is_redux(case) {
        redux::compare(
            case,
            &pipeline,
            &request,
            [&inputs, &expected],
            device,
            report,
        )?;
    }
    compare_span(case, &conditioning.concepts, report);

    let recorder = ip_adapter::Recorder::of(case)?;
    let plan = match &recorder {
        Some(recorder) => recorder.plan(&pipeline, &request)?,
        None => pipeline.plan(&request)?,
    };
    ip_adapter::compare(case, &request, &conditioning.concepts, &expected, report)?;
    let (latents, _) = trace::run(
        &pipeline,
        &plan,
        &request,
        &conditioning,
        packed,
        &expected,
        report,
    )?;
    if let Some(counter) = counter {
        let refreshes = counter.refreshes();
        let when = refreshes.iter().flat_map(|refresh| refresh.when);
        report.values("concept_mask_refresh", when.collect(), &expected);
        let masks = refreshes.into_iter().flat_map(|refresh| refresh.log_mask);
        report.values("concept_mask_log", masks.collect(), &expected);
    }
    if let Some(recorder) = recorder {
        recorder.compare(batch, &expected, report);
    }
    // cases about the weights of the transformer end here
    let Some(wanted) = expected.get("vae_in") else {
        return Ok(());
    };
    let unscaled = pipeline.vae()?.unscale(latents.clone());
    report.tensor("vae_in", unscaled, wanted);
    trace::compare_picture(&pipeline, latents, &expected, report)
}

/// The noise, and what is made of a picture to start from.
fn compare_start(
    pipeline: &Flux,
    request: &Request,
    conditioning: &Conditioning<Encoded>,
    [inputs, expected]: [&Arrays; 2],
    report: &mut Report,
) -> Outcome {
    let noise = conditioning.latents.clone();
    let Some(drawn) = inputs.get("latent_noise") else {
        report.within("noise", &array(pack(noise)), &inputs["latents"], 2e-6);
        return Ok(());
    };
    report.within("noise", &array(noise), drawn, 2e-6);
    let (Some(start), Some(started)) = (&request.start, &conditioning.start) else {
        return Ok(());
    };
    let (vae, size, device) = (
        pipeline.vae()?,
        conditioning.size,
        &pipeline.profile().device,
    );
    start::compare(
        start,
        started,
        &vae,
        size,
        [inputs, expected],
        device,
        report,
    )?;
    let scheduler = pipeline.scheduler(request)?;
    let first = conditioning.first_latents(&*scheduler);
    // of the posterior's deviations: the noise is drawn again
    let tolerance = report.tolerance("latents");
    report.within(
        "first_latents",
        &array(pack(first.clone())),
        &inputs["latents"],
        tolerance,
    );
    let Some(cells) = &started.cells else {
        return Ok(());
    };
    let Some(beside) = &conditioning.beside else {
        let packed = pack(
            cells
                .clone()
                .repeat_dim(1, pipeline.config().latent_channels()),
        );
        report.tensor("mask_packed", packed, &expected["mask_packed"]);
        // drawn, encoded there, and read by nobody
        if let (Some(noise), Some(region)) = (inputs.get("masked_posterior_noise"), &started.region)
        {
            let rest = start::rest(start, region, size, device)?;
            let latents = pipeline.encode_picture(rest, Some(noise.tensor(device)?), None)?;
            let wanted = &expected["masked_image_latents"];
            report.tensor("masked_image_latents", pack(latents), wanted);
        }
        return Ok(());
    };
    let (latents, channels) = (pipeline.config().latent_channels(), beside.dims()[1]);
    let part = |range| pack(beside.clone().slice_dim(1, range));
    report.tensor(
        "masked_image_latents",
        part(0..latents),
        &expected["masked_image_latents"],
    );
    report.tensor(
        "mask_packed",
        part(latents..channels),
        &expected["mask_packed"],
    );
    let rows = pack(Tensor::cat(vec![first, beside.clone()], 1));
    report.tensor(
        "transformer_in_first",
        rows,
        &expected["transformer_in_first"],
    );
    Ok(())
}

/// The model of a case with what the case adds to it.
fn open(case: &Case, device: &Device) -> Result<Flux, Box<dyn Error>> {
    let mut options: LoadOptions<FluxOptions> = LoadOptions::new(device.clone());
    if is_kontext(case) {
        options.extra.kind = Some(Kind::Kontext);
    }
    if redux::is_redux(case) {
        options = options.adapter(case.file("redux")?);
    }
    if case.has_file("lora") {
        match case.params()["lora_scale"].as_f64() {
            Some(strength) => options = options.lora(case.file("lora")?, strength),
            None => options = options.adapter(case.file("lora")?),
        }
    }
    if case.has_file("transformer") {
        options = options.part("transformer", case.file("transformer")?);
    }
    if case.has_file("ip_adapter") {
        options = options.adapter((case.file("ip_adapter")?, case.file("image_encoder")?));
    }
    if case.has_file("gguf") {
        let config = case.file("transformer_config")?;
        let folder = config.parent().and_then(Path::parent);
        options = options
            .part("transformer", case.file("gguf")?)
            .configurations(folder.ok_or("a configuration without a folder")?);
    }
    Ok(Flux::open(case.file("model")?, options)?)
}

fn flux_request(case: &Case) -> Result<Request, Box<dyn Error>> {
    let params = case.params();
    let mut request: Request = request::common(case)?;
    if redux::is_redux(case) {
        redux::set(case, &mut request)?;
    } else {
        let tokens = params["max_sequence_length"].as_u64();
        let tokens = tokens.ok_or("no max_sequence_length")?;
        request.extra.text_tokens = Some(usize::try_from(tokens)?);
    }
    if is_kontext(case) {
        let own = params["auto_resize"] == false;
        request.extra.condition_size = own.then_some(ConditionSize::Own);
        request.mode = Mode::Adapter;
        for path in case.files("images") {
            let picture = ConceptRequest::new("picture", image::open(path)?);
            request = request.concept(picture.words(Words::Everywhere));
        }
    }
    if let Some(strength) = params["condition_scale"].as_f64() {
        #[expect(clippy::cast_possible_truncation, reason = "scales are short decimals")]
        let strength = strength as f32;
        request = request.scale(strength);
    }
    // diffusers leaves one without the other aside, and a scale of 1 or less
    let negative = params["negative_prompt"].as_str();
    let mixing = params["true_cfg_scale"]
        .as_f64()
        .filter(|scale| *scale > 1.0);
    if let (Some(scale), Some(negative)) = (mixing, negative) {
        request = request.true_cfg_scale(scale).negative_prompt(negative);
    }
    if case.has_file("ip_adapter") {
        request = ip_adapter::request(case, request)?;
    }
    Ok(request)
}

fn compare_posterior(
    pipeline: &Flux,
    request: &Request,
    expected: &Arrays,
    device: &Device,
    report: &mut Report,
) -> Outcome {
    let wanted = (expected.get("condition_mean")).zip(expected.get("condition_std"));
    let Some((mean, std)) = wanted else {
        return Ok(());
    };
    let picture = request.concepts[0].image.as_ref().ok_or("no picture")?;
    let picture = resize(picture, 512, 512, Filter::Bicubic);
    let pixels = image_to_tensor(&picture, device);
    let posterior = pipeline.vae()?.encode(pixels, None)?;
    report.tensor("condition_mean", posterior.mean(), mean);
    report.tensor("condition_std", posterior.std(), std);
    Ok(())
}

fn is_kontext(case: &Case) -> bool {
    case.params()["pipeline"] == "FluxKontextPipeline"
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
