//! Whole generations of Stable Diffusion 1.5 and SDXL.

use std::{error::Error, ops::ControlFlow};

use burn::tensor::{Device, Tensor};
use conceptrol_core::{
    Captures, SiteId, SiteSelector,
    mask::MaskNorm,
    models::{lora::Part, tokenizer::ClipTokenizer},
    pipeline::{
        ConceptRequest, Conditioning, Fidelity, Identity, LoadOptions, Mode, Pipeline, StepReport,
        Words,
    },
    processors::CaptureLayer,
};
use conceptrol_sd::{
    StableDiffusion,
    pipeline::{Encoded, Request},
};

use crate::{
    Outcome,
    case::{Array, Arrays, Case, array, id_array},
    control,
    report::Report,
    request, start, trace,
};

pub(crate) fn run(case: &Case, device: &Device, report: &mut Report) -> Outcome {
    let (inputs, expected) = (case.inputs()?, case.expected()?);
    let pipeline = open(case, device)?;
    let mut request = request::stable_diffusion(case)?;
    request.extra.controls = control::requests(case, &inputs, device, report)?;
    request.extra.edit = control::edit(case)?;
    if let Some(face) = inputs.get("id_embedding") {
        let rows = face.values.chunks(face.shape[1]).map(<[f32]>::to_vec);
        let person = ConceptRequest::person("person", Identity::new(rows.collect())?);
        request = request
            .concept(person.words(Words::Everywhere))
            .mode(Mode::Adapter)
            .fidelity(Fidelity::Paper);
    }
    if case.has_file("peft") {
        compare_deltas(case, &pipeline, &expected, device, report)?;
    }

    compare_ids(case, &pipeline, &inputs, report)?;
    let seeded = pipeline.condition(&request)?;
    let given = ["latents", "noise"]
        .into_iter()
        .find_map(|name| inputs.get(name));
    let given = given.ok_or("no noise to start from")?;
    report.within("noise", &array(seeded.latents.clone()), given, 2e-6);
    // other numbers would follow if the noise were not drawn
    let draws_on = request.start.is_some() || inputs.contains_key("step_noise");
    let conditioning = match draws_on {
        false => {
            request.latents = Some(given.tensor(device)?);
            pipeline.condition(&request)?
        }
        true => seeded,
    };
    compare_start(
        &pipeline,
        &request,
        &conditioning,
        [&inputs, &expected],
        device,
        report,
    )?;
    compare_conditioning(case, &conditioning, &expected, report)?;
    control::compare(case, &pipeline, &request, &conditioning, &expected, report)?;
    let plan = pipeline.plan(&request)?;
    let (latents, _) = trace::run(
        &pipeline,
        &plan,
        &request,
        &conditioning,
        array,
        &expected,
        report,
    )?;
    if request.mode == Mode::Conceptrol {
        compare_local_masks(case, &pipeline, &request, &conditioning, &expected, report)?;
    }
    let unscaled = pipeline.vae()?.unscale(latents.clone());
    report.tensor("vae_in", unscaled, &expected["vae_in"]);
    trace::compare_picture(&pipeline, latents, &expected, report)
}

/// What is made of a picture to start from, and what a UNet that repaints sees of it first.
fn compare_start(
    pipeline: &StableDiffusion,
    request: &Request,
    conditioning: &Conditioning<Encoded>,
    [inputs, expected]: [&Arrays; 2],
    device: &Device,
    report: &mut Report,
) -> Outcome {
    let (Some(start), Some(started)) = (&request.start, &conditioning.start) else {
        return Ok(());
    };
    let (vae, size) = (pipeline.vae()?, conditioning.size);
    start::compare(
        start,
        started,
        &vae,
        size,
        [inputs, expected],
        device,
        report,
    )?;
    if let Some(beside) = &conditioning.beside {
        let [_, channels, ..] = beside.dims();
        let rest = beside.clone().slice_dim(1, 1..channels);
        if let Some(wanted) = expected.get("masked_latents") {
            report.tensor("masked_latents", rest, wanted);
        }
        let scheduler = pipeline.scheduler(request)?;
        let first = conditioning.first_latents(&*scheduler);
        let row = Tensor::cat(
            vec![scheduler.scale_model_input(first, 0), beside.clone()],
            1,
        );
        let rows = Tensor::cat(vec![row.clone(), row], 0);
        if let Some(wanted) = expected.get("unet_in_first") {
            report.tensor("unet_in_first", rows, wanted);
        }
    }
    Ok(())
}

/// The model of a case with what the case adds to it.
fn open(case: &Case, device: &Device) -> Result<StableDiffusion, Box<dyn Error>> {
    let mut options = LoadOptions::new(device.clone());
    if case.has_file("unet") {
        options = options.part("unet", case.file("unet")?);
    }
    for net in case.files("controlnets") {
        options = options.controlnet(net);
    }
    if case.kind == "faceid" {
        options = options.adapter(case.file("ip_adapter")?);
    } else if case.has_file("ip_adapter") {
        options = options.adapter((case.file("ip_adapter")?, case.file("image_encoder")?));
    }
    // the weights of several files are in their order, a single file has none
    let names = ["lora", "loras", "lora_unet", "lora_text_encoder", "lycoris"];
    for (index, file) in names.iter().flat_map(|name| case.files(name)).enumerate() {
        let strength = case.params()["weights"][index].as_f64().unwrap_or(1.0);
        options = options.lora(file, strength);
    }
    for learnt in case.params()["load"].as_array().into_iter().flatten() {
        let file = learnt["file"]
            .as_str()
            .ok_or("an embedding without a file")?;
        let file = case.directory.join(file);
        let token = learnt["token"]
            .as_str()
            .ok_or("an embedding without a token")?;
        options = match learnt["token_given"].as_bool() {
            Some(true) => options.embedding_as(file, token),
            _ => options.embedding(file),
        };
    }
    if case.has_file("single_file") {
        options = options.configurations(case.file("config")?);
        return Ok(StableDiffusion::open(case.file("single_file")?, options)?);
    }
    Ok(StableDiffusion::open(case.file("model")?, options)?)
}

/// What a `LyCORIS` file adds to each weight, and what the same layers in peft's folders add.
fn compare_deltas(
    case: &Case,
    pipeline: &StableDiffusion,
    expected: &Arrays,
    device: &Device,
    report: &mut Report,
) -> Outcome {
    let peft = (case.files("peft").into_iter())
        .fold(LoadOptions::new(device.clone()), |options, folder| {
            options.lora(folder, 1.0)
        });
    let peft = StableDiffusion::open(case.file("model")?, peft)?;
    for (layout, pipeline) in [("", pipeline), ("peft.", &peft)] {
        let deltas = pipeline.loras().merged(Part::Denoiser);
        for (name, wanted) in expected {
            let Some(module) = name.strip_prefix("delta.") else {
                continue;
            };
            let [delta] = deltas.of_weight(&format!("{module}.weight")) else {
                return Err(format!("not one change of {module}").into());
            };
            let found = Array {
                shape: wanted.shape.clone(),
                ..array(delta.dense(device)?)
            };
            let tolerance = report.tolerance(name);
            report.within(&format!("{layout}{name}"), &found, wanted, tolerance);
        }
    }
    Ok(())
}

fn compare_ids(
    case: &Case,
    pipeline: &StableDiffusion,
    inputs: &Arrays,
    report: &mut Report,
) -> Outcome {
    let text = pipeline.text_parts();
    for (prompt, ids) in [
        ("prompt", "input_ids"),
        ("negative_prompt", "negative_input_ids"),
    ] {
        let prompt = case.params()[prompt].as_str().ok_or("no prompt")?;
        let encode = |tokenizer: &ClipTokenizer| id_array(&[tokenizer.encode(prompt).ids]);
        report.array(ids, &encode(text.tokenizer()), &inputs[ids]);
        let second = format!("{ids}_2");
        if let (Some(tokenizer), Some(expected)) = (text.tokenizer_2(), inputs.get(&second)) {
            report.array(&second, &encode(tokenizer), expected);
        }
    }
    Ok(())
}

fn compare_conditioning(
    case: &Case,
    conditioning: &Conditioning<Encoded>,
    expected: &Arrays,
    report: &mut Report,
) -> Outcome {
    let states = &conditioning.states;
    if states.negative.is_none() {
        report.skipped("the negative prompt, which is not read without guidance");
    }
    let negative = states.negative.iter().map(|states| ("negative_", states));
    for (prefix, states) in std::iter::once(("", &states.prompt)).chain(negative) {
        let name = format!("{prefix}prompt_embeds");
        report.tensor(&name, states.context.clone(), &expected[&name]);
        let name = format!("{prefix}pooled_prompt_embeds");
        if let (Some(pooled), Some(wanted)) = (&states.pooled, expected.get(&name)) {
            report.tensor(&name, pooled.clone(), wanted);
        }
    }
    let references =
        || (conditioning.concepts.iter()).filter_map(|concept| concept.reference.as_ref());
    let conditional = references().map(|tokens| tokens.conditional.clone());
    let unconditional = references().map(|tokens| tokens.unconditional.clone());
    for (name, tokens) in [
        ("image_tokens", conditional.collect::<Vec<_>>()),
        ("uncond_image_tokens", unconditional.collect()),
    ] {
        if let Some(wanted) = expected.get(name) {
            report.tensor::<3>(name, Tensor::cat(tokens, 0), wanted);
        }
    }
    if let Some(added) = &states.added
        && let [negative, conditional] = added.time_ids.as_slice()
    {
        report.values("add_time_ids", conditional.clone(), expected);
        report.values("negative_add_time_ids", negative.clone(), expected);
    }
    let concepts = case.json["concepts"].as_array();
    for (index, concept) in concepts.into_iter().flatten().enumerate() {
        let located = &conditioning.located[0][index].spans[0];
        let wanted = &concept["span"];
        let same = wanted[0].as_u64() == Some(located.start() as u64)
            && wanted[1].as_u64() == Some(located.end() as u64);
        report.exact(&format!("span.{index}"), same, || {
            format!("{located}, expected {wanted}")
        });
    }
    Ok(())
}

/// Each site's own mask in the first and the last call, recorded by a capture layer in a second run.
fn compare_local_masks(
    case: &Case,
    pipeline: &StableDiffusion,
    request: &Request,
    conditioning: &Conditioning<Encoded>,
    expected: &Arrays,
    report: &mut Report,
) -> Outcome {
    if !expected.keys().any(|name| name.starts_with("attn_mask_")) {
        return Ok(());
    }
    let plan = pipeline.plan_around(request, SiteSelector::cross(), CaptureLayer::new())?;
    let (_, session) =
        pipeline.denoise(&plan, request, conditioning, &mut |_: &StepReport<'_>| {
            ControlFlow::Continue(())
        })?;
    let captures = session.finish();
    let concepts = conditioning.concepts.len();
    let calls = case.json["unet_calls"].as_u64().ok_or("no unet_calls")? as usize;
    for (label, step) in [("first", 0), ("last", calls - 1)] {
        for site in pipeline.attention_sites() {
            let name = format!("attn_mask_{label}.{}.processor", site.name);
            let Some(wanted) = expected.get(&name) else {
                continue;
            };
            let values = local_masks(&captures, site.id, step);
            report.array(
                &name,
                &Array {
                    shape: vec![concepts, values.len() / concepts],
                    values,
                },
                wanted,
            );
        }
    }
    Ok(())
}

fn local_masks(captures: &Captures, site: SiteId, step: usize) -> Vec<f32> {
    let here = captures.iter().filter(|capture| {
        let stamp = capture.map.stamp();
        stamp.is_some_and(|stamp| stamp.site == site && stamp.step == step)
    });
    let peak_one = here.map(|capture| capture.map.clone().normalized(MaskNorm::Max));
    peak_one
        .flat_map(|mask| array(mask.values().clone()).values)
        .collect()
}
