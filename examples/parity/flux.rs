//! FLUX: its components, and whole generations.

use std::{
    error::Error,
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
};

use burn::tensor::{DType, Device, FloatDType, Int, Tensor, TensorData};
use conceptrol_core::{
    AttentionPlan, BatchLayout, Concept, ConditionSchedule, Grid, MaskError, Probe, Session,
    SiteSelector, StepWindow, TokenLayout,
    mask::{ConceptBlock, ConceptMask, ConceptMaskSource, MaskBoard, Timing},
    models::{
        image::{Filter, image_to_tensor, open, resize},
        weights::Weights,
    },
    processors::{ConceptrolLayer, JointConditionLayer},
};
use conceptrol_flux::{
    FlowMatchConfig, FluxConfig, attention_sites,
    latents::{token_grid, unpack},
    load::{FluxFolder, Residency},
    mmdit::{FluxInput, FluxTransformer, Rotary},
    omini::Placement,
    pipeline::{ConceptRequest, FluxPipeline, FluxRequest, Progress, ominicontrol_plan},
    t5::{T5Config, T5Encoder},
};

use crate::{
    Outcome,
    case::{Array, Arrays, Case, array, id_array},
    component::schedulers::picture,
    report::Report,
};

pub(crate) fn run(case: &Case, device: &Device, report: &mut Report) -> Outcome {
    if case.name.starts_with("comp_t5") {
        t5(case, device, report)
    } else if case.kind == "component" {
        transformer(case, device, report)
    } else {
        generation(case, device, report)
    }
}

fn t5(case: &Case, device: &Device, report: &mut Report) -> Outcome {
    let (inputs, expected) = (case.inputs()?, case.expected()?);
    let folder = case.file("model")?;
    let config = T5Config::from_file(folder.join("config.json"))?;
    let weights = Weights::open(&folder, device, FloatDType::F32)?;
    let encoder = T5Encoder::new(&config, &weights);
    weights.finish()?;
    let ids = &inputs["input_ids"];
    #[expect(
        clippy::cast_possible_truncation,
        reason = "ids are small whole numbers"
    )]
    let whole: Vec<i32> = ids.values.iter().map(|id| *id as i32).collect();
    let ids = Tensor::<2, Int>::from_data(
        TensorData::new(whole, ids.shape.clone()),
        (device, DType::I32),
    );
    report.tensor(
        "hidden_state_1",
        encoder.states_after(1, ids.clone()),
        &expected["hidden_state_1"],
    );
    report.tensor(
        "last_hidden_state",
        encoder.forward(ids),
        &expected["last_hidden_state"],
    );
    Ok(())
}

fn transformer(case: &Case, device: &Device, report: &mut Report) -> Outcome {
    let (inputs, expected) = (case.inputs()?, case.expected()?);
    let folder = case.file("model")?;
    let config = FluxConfig::from_file(folder.join("config.json"))?;
    let weights = Weights::open(&folder, device, FloatDType::F32)?;
    let model = FluxTransformer::new(&config, &weights);
    weights.finish()?;

    let positions = [&inputs["txt_ids"], &inputs["img_ids"]].map(|ids| ids.values.chunks_exact(3));
    let positions: Vec<_> = positions
        .into_iter()
        .flatten()
        .map(|id| [id[0], id[1], id[2]].map(f64::from))
        .collect();
    let rotary = Rotary::new(&positions, config.axes_dims_rope, device, FloatDType::F32);
    let latents: Tensor<3> = inputs["hidden_states"].tensor(device)?;
    let text: Tensor<3> = inputs["encoder_hidden_states"].tensor(device)?;
    let layout = TokenLayout::joint(text.dims()[1], Grid::new(1, latents.dims()[1]), []);
    let batch = BatchLayout::unguided(latents.dims()[0]);
    let mut session = Session::new(&AttentionPlan::plain(&attention_sites(&config)), batch, [])?;
    let input = FluxInput {
        latents,
        text,
        pooled: inputs["pooled_projections"].tensor(device)?,
        condition: None,
        sigma: inputs["timestep"].values[0],
        guidance: inputs
            .get("guidance")
            .map_or(0.0, |guidance| guidance.values[0]),
        rotary: &rotary,
        layout: &layout,
    };
    report.tensor("out", model.forward(input, &mut session)?, &expected["out"]);
    Ok(())
}

/// The flow-match scheduler on given model outputs.
pub(crate) fn scheduler(
    name: &str,
    entry: &serde_json::Value,
    inputs: &Arrays,
    expected: &Arrays,
    device: &Device,
    report: &mut Report,
) -> Outcome {
    let config: FlowMatchConfig = serde_json::from_value(entry["config"].clone())?;
    let whole = |value: &serde_json::Value| value.as_u64().and_then(|n| usize::try_from(n).ok());
    let steps = whole(&entry["num_inference_steps"]).ok_or("no number of steps")?;
    let schedule = config.schedule(steps, whole(&entry["options"]["seq"]).unwrap_or(1024))?;
    let mut sample: Tensor<4> = picture(&inputs["sample"]).tensor(device)?;
    let (mut scaled, mut previous) = (Vec::new(), Vec::new());
    for step in 0..steps {
        scaled.extend(array(sample.clone()).values);
        sample = schedule.step(
            step,
            sample,
            picture(&inputs["model_outputs"].row(step)).tensor(device)?,
        );
        previous.extend(array(sample.clone()).values);
    }
    let timesteps = (0..steps).map(|step| schedule.timestep(step)).collect();
    let results = [
        ("timesteps", timesteps),
        ("sigmas", schedule.sigmas().to_vec()),
        ("scaled_inputs", scaled),
        ("prev_samples", previous),
    ];
    for (what, values) in results {
        let key = format!("{name}.{what}");
        if let Some(wanted) = expected.get(&key) {
            report.array(
                &key,
                &Array {
                    shape: wanted.shape.clone(),
                    values,
                },
                wanted,
            );
        }
    }
    Ok(())
}

fn generation(case: &Case, device: &Device, report: &mut Report) -> Outcome {
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
    let mut compare = |name: &str, values: Vec<f32>| {
        let Some(wanted) = expected.get(name) else {
            return;
        };
        let shape = if values.len() == wanted.values.len() {
            wanted.shape.clone()
        } else {
            vec![values.len()]
        };
        report.array(name, &Array { shape, values }, wanted);
    };
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
        condition: ConditionSchedule::new(strength, window).with_outside(0.5),
        text_tokens: whole("max_sequence_length")?,
        timing: Timing::Reference,
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

/// The authors' refresh rule: a counter over all calls of all steps, taken modulo a number of blocks.
#[derive(Debug)]
struct Counter {
    blocks: usize,
    concept_block: usize,
    calls_per_step: usize,
    refreshing: ConceptBlock,
    reading: ConceptBlock,
    refreshes: Mutex<Vec<Refresh>>,
}

/// A published mask: step, call and count, and the logarithm of its values.
#[derive(Debug, Clone)]
struct Refresh {
    when: [f32; 3],
    log_mask: Vec<f32>,
}

impl Counter {
    fn of(case: &Case) -> Result<Self, Box<dyn Error>> {
        let whole = |name: &str| -> Result<usize, Box<dyn Error>> {
            Ok(usize::try_from(
                case.params()[name]
                    .as_u64()
                    .ok_or(format!("no whole number `{name}`"))?,
            )?)
        };
        Ok(Self {
            blocks: whole("NUM_BLOCKS")?,
            concept_block: whole("CONCEPT_BLOCK_IDX")?,
            calls_per_step: whole("attention_calls_per_step")?,
            refreshing: ConceptBlock::joint(SiteSelector::all()),
            reading: ConceptBlock::joint(SiteSelector::all().except(SiteSelector::all())),
            refreshes: Mutex::default(),
        })
    }

    fn refreshes(&self) -> Vec<Refresh> {
        self.refreshes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl ConceptMaskSource for Counter {
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    fn mask(
        &self,
        index: usize,
        concept: &Concept,
        probe: &Probe<'_>,
        board: &mut MaskBoard,
    ) -> Result<Option<ConceptMask>, MaskError> {
        let (step, call) = (probe.step().index, probe.site().id.index());
        let count = step * self.calls_per_step + call;
        if count % self.blocks != self.concept_block {
            return self.reading.mask(index, concept, probe, board);
        }
        let mask = self.refreshing.mask(index, concept, probe, board)?;
        if let Some(fresh) = board.latest(index) {
            let log_mask = array(fresh.values().clone().log()).values;
            let refresh = Refresh {
                when: [step as f32, call as f32, count as f32],
                log_mask,
            };
            self.refreshes
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(refresh);
        }
        Ok(mask)
    }
}
