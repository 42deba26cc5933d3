//! Whole generations of Stable Diffusion 1.5 and SDXL.

use std::{error::Error, ops::ControlFlow};

use burn::tensor::{Device, Tensor};
use conceptrol_core::{
    AttentionPlan, Captures, SiteSelector, mask::MaskNorm, processors::CaptureLayer,
};
use conceptrol_sd::pipeline::{
    Conditioning, LoadOptions, Mode, Request, StableDiffusion, StepReport,
};

use crate::{
    Outcome,
    case::{Array, Arrays, Case, array, id_array},
    report::Report,
    request,
};

pub(crate) fn run(case: &Case, device: &Device, report: &mut Report) -> Outcome {
    let (inputs, expected) = (case.inputs()?, case.expected()?);
    let options = LoadOptions::new(device.clone())
        .adapter(case.file("ip_adapter")?, case.file("image_encoder")?);
    let pipeline = StableDiffusion::open(case.file("model")?, options)?;
    let mut request = request::request(case)?;

    compare_ids(case, &pipeline, &inputs, report)?;
    compare_noise(&request, &inputs, report);
    request.latents = Some(inputs["latents"].tensor(device)?);

    let conditioning = pipeline.condition(&request)?;
    compare_conditioning(case, &conditioning, &expected, report)?;

    let plan = pipeline.plan(&request)?;
    let config = request.scheduler.clone().ok_or("no scheduler")?;
    let scheduler = config.build(request.steps, &request.scheduler_options)?;
    let start = inputs["latents"].tensor::<4>(device)? * scheduler.init_noise_sigma();
    let mut trace = Trace {
        latents: array(start).values,
        ..Trace::default()
    };
    let (latents, _) =
        pipeline.denoise(&plan, &request, &conditioning, &mut |step: &StepReport<
            '_,
        >| {
            trace.record(step);
            ControlFlow::Continue(())
        })?;
    trace.compare(&expected, report);
    if expected.contains_key("timesteps") {
        #[expect(clippy::cast_possible_truncation, reason = "the golden values are f32")]
        let values: Vec<f32> = scheduler
            .timesteps()
            .iter()
            .map(|timestep| *timestep as f32)
            .collect();
        report.array(
            "timesteps",
            &Array {
                shape: vec![values.len()],
                values,
            },
            &expected["timesteps"],
        );
    }
    if let (Some(sigmas), Some(wanted)) = (scheduler.sigmas(), expected.get("sigmas")) {
        report.array(
            "sigmas",
            &Array {
                shape: vec![sigmas.len()],
                values: sigmas.to_vec(),
            },
            wanted,
        );
    }
    if request.mode == Mode::Conceptrol {
        compare_local_masks(case, &pipeline, &request, &conditioning, &expected, report)?;
    }
    compare_picture(&pipeline, latents, &expected, report)
}

fn compare_ids(
    case: &Case,
    pipeline: &StableDiffusion,
    inputs: &Arrays,
    report: &mut Report,
) -> Outcome {
    let text = pipeline.text_encoders()?;
    for (prompt, ids) in [
        ("prompt", "input_ids"),
        ("negative_prompt", "negative_input_ids"),
    ] {
        let prompt = case.params()[prompt].as_str().ok_or("no prompt")?;
        report.array(ids, &id_array(&[text.tokenize(prompt).ids]), &inputs[ids]);
        let second = format!("{ids}_2");
        if let (Some(encoded), Some(expected)) = (text.tokenize_2(prompt), inputs.get(&second)) {
            report.array(&second, &id_array(&[encoded.ids]), expected);
        }
    }
    Ok(())
}

/// The seed's noise is the case's.
fn compare_noise(request: &Request, inputs: &Arrays, report: &mut Report) {
    let expected = &inputs["latents"];
    let values =
        conceptrol_core::models::noise::Generator::new(request.seed).randn(&expected.shape);
    report.within(
        "noise",
        &Array {
            shape: expected.shape.clone(),
            values,
        },
        expected,
        2e-6,
    );
}

fn compare_conditioning(
    case: &Case,
    conditioning: &Conditioning,
    expected: &Arrays,
    report: &mut Report,
) -> Outcome {
    report.tensor(
        "prompt_embeds",
        conditioning.prompt.context.clone(),
        &expected["prompt_embeds"],
    );
    let negative = conditioning.negative.as_ref().ok_or("no negative prompt")?;
    report.tensor(
        "negative_prompt_embeds",
        negative.context.clone(),
        &expected["negative_prompt_embeds"],
    );
    for (name, states) in [
        ("pooled_prompt_embeds", &conditioning.prompt),
        ("negative_pooled_prompt_embeds", negative),
    ] {
        if let (Some(pooled), Some(wanted)) = (&states.pooled, expected.get(name)) {
            report.tensor(name, pooled.clone(), wanted);
        }
    }
    let tokens = |pick: fn(&conceptrol_core::ReferenceTokens) -> &Tensor<3>| {
        Tensor::cat(
            conditioning
                .image_tokens
                .iter()
                .map(|tokens| pick(tokens).clone())
                .collect(),
            0,
        )
    };
    report.tensor(
        "image_tokens",
        tokens(|tokens| &tokens.conditional),
        &expected["image_tokens"],
    );
    report.tensor(
        "uncond_image_tokens",
        tokens(|tokens| &tokens.unconditional),
        &expected["uncond_image_tokens"],
    );
    if let Some(added) = &conditioning.added {
        let ids = |name: &str, row: &[f32]| Array {
            shape: expected[name].shape.clone(),
            values: row.to_vec(),
        };
        if let [negative, conditional] = added.time_ids.as_slice() {
            report.array(
                "add_time_ids",
                &ids("add_time_ids", conditional),
                &expected["add_time_ids"],
            );
            if let Some(wanted) = expected.get("negative_add_time_ids") {
                report.array(
                    "negative_add_time_ids",
                    &ids("negative_add_time_ids", negative),
                    wanted,
                );
            }
        }
    }
    let concepts = case.json["concepts"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    for (index, concept) in concepts.iter().enumerate() {
        let found = &conditioning.found[0][index].spans[0];
        let wanted = &concept["span"];
        let same = wanted[0].as_u64() == Some(found.start() as u64)
            && wanted[1].as_u64() == Some(found.end() as u64);
        report.exact(&format!("span.{index}"), same, || {
            format!("{found}, expected {wanted}")
        });
    }
    Ok(())
}

/// What is recorded of every step.
#[derive(Debug, Default)]
struct Trace {
    noise_pred: Vec<f32>,
    latents: Vec<f32>,
    masks: Vec<f32>,
    first: Option<Array>,
    last: Option<Array>,
}

impl Trace {
    fn record(&mut self, step: &StepReport<'_>) {
        self.noise_pred.extend(array(step.guided.clone()).values);
        self.latents.extend(array(step.latents.clone()).values);
        let board = step.session.board();
        for concept in 0..step.session.concepts().len() {
            self.masks.extend(
                board
                    .latest(concept)
                    .map(|mask| array(mask.values().clone()).values)
                    .unwrap_or_default(),
            );
        }
        let output = array(step.model_output.clone());
        self.first.get_or_insert_with(|| output.clone());
        self.last = Some(output);
    }

    fn compare(self, expected: &Arrays, report: &mut Report) {
        let mut compare = |name: &str, values: Vec<f32>| report.values(name, values, expected);
        compare(
            "unet_out_first",
            self.first.map(|first| first.values).unwrap_or_default(),
        );
        compare(
            "unet_out_last",
            self.last.map(|last| last.values).unwrap_or_default(),
        );
        compare("noise_pred", self.noise_pred);
        compare("latents", self.latents);
        compare("global_masks", self.masks);
    }
}

/// Each site's own mask in the first and the last call, recorded by a capture layer in a second run.
fn compare_local_masks(
    case: &Case,
    pipeline: &StableDiffusion,
    request: &Request,
    conditioning: &Conditioning,
    expected: &Arrays,
    report: &mut Report,
) -> Outcome {
    if !expected.keys().any(|name| name.starts_with("attn_mask_")) {
        return Ok(());
    }
    let plan = with_captures(pipeline, request)?;
    let (_, captures) =
        pipeline.denoise(&plan, request, conditioning, &mut |_: &StepReport<'_>| {
            ControlFlow::Continue(())
        })?;
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

fn with_captures(
    pipeline: &StableDiffusion,
    request: &Request,
) -> Result<AttentionPlan, Box<dyn Error>> {
    Ok(pipeline.plan_around(request, SiteSelector::cross(), CaptureLayer::new())?)
}

fn local_masks(captures: &Captures, site: conceptrol_core::SiteId, step: usize) -> Vec<f32> {
    let here = captures.iter().filter(|capture| {
        capture
            .map
            .stamp()
            .is_some_and(|stamp| stamp.site == site && stamp.step == step)
    });
    here.flat_map(|capture| {
        array(
            capture
                .map
                .clone()
                .normalized(MaskNorm::Max)
                .values()
                .clone(),
        )
        .values
    })
    .collect()
}

fn compare_picture(
    pipeline: &StableDiffusion,
    latents: Tensor<4>,
    expected: &Arrays,
    report: &mut Report,
) -> Outcome {
    let unscaled = pipeline.vae()?.unscale(latents.clone());
    report.tensor("vae_in", unscaled, &expected["vae_in"]);
    report.tensor(
        "image_raw",
        pipeline.decode(latents.clone(), None)?,
        &expected["image_raw"],
    );
    if let Some(wanted) = expected.get("image_u8") {
        let pictures = pipeline.pictures(latents, None)?;
        let values = pictures
            .iter()
            .flat_map(|picture| picture.as_raw().iter().map(|byte| f32::from(*byte)))
            .collect();
        report.within(
            "image_u8",
            &Array {
                shape: wanted.shape.clone(),
                values,
            },
            wanted,
            1.0,
        );
    }
    Ok(())
}
