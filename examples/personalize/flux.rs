//! FLUX with OminiControl: the adapter is a LoRA, the plain method OminiControl.

use std::{error::Error, path::Path};

use conceptrol_core::{
    AttentionPlan, ConditionSchedule, Occurrence, SiteSelector, StepWindow,
    mask::ConceptBlock,
    models::image::{open, tensor_to_images},
};
use conceptrol_examples::progress::{Interrupt, Steps};
use conceptrol_flux::{
    load::{FluxFolder, Residency},
    omini::Placement,
    pipeline::{
        ConceptRequest, FluxPipeline, FluxRequest, Prepared, Progress, conceptrol_plan,
        conceptrol_plan_at, ominicontrol_plan,
    },
};

use crate::{
    arguments::{Arguments, ModeArgument},
    run::{Finished, finish, read_masks},
    write::Writer,
};

pub(crate) fn run(arguments: &Arguments, folder: &Path) -> Result<(), Box<dyn Error>> {
    refuse(arguments)?;
    let request = request(arguments)?;
    let modes = match arguments.mode {
        None if request.concepts.is_empty() => vec![ModeArgument::TextOnly],
        None => vec![ModeArgument::IpAdapter, ModeArgument::Conceptrol],
        Some(mode) if mode != ModeArgument::TextOnly && request.concepts.is_empty() => {
            return Err("this mode needs a concept: --concept \"PHRASE=FILE\"".into());
        }
        Some(mode) => vec![mode],
    };
    let pipeline = load(arguments, folder)?;
    let plans = modes
        .into_iter()
        .map(|mode| Ok((mode, plan(&pipeline, mode, arguments)?)));
    let plans: Vec<_> = plans.collect::<Result<_, Box<dyn Error>>>()?;
    println!("model    {}", folder.display());
    println!("prompt   {}", request.prompt);
    println!(
        "settings {} steps, guidance {}, scale {}, seeds {:?}",
        request.steps, request.guidance, request.condition.scale, request.seeds
    );

    let prepared = pipeline.prepare(&request)?; // what is wrong with the request shows before the first step
    if let Some(cut) = &prepared.prompt.cut {
        eprintln!("warning: {cut}");
    }
    let interrupt = Interrupt::listen();
    let mut writer = Writer::new(&arguments.out, parameters(folder, &request))?;
    let mut finished = Vec::new();
    for (mode, plan) in plans {
        let mut prepared = prepared.clone();
        if mode == ModeArgument::TextOnly {
            prepared.concepts.clear();
            prepared.conditions.clear();
        }
        finished.push(generate(
            &pipeline, &request, &prepared, mode, &plan, &interrupt,
        )?);
    }
    let references = request
        .concepts
        .into_iter()
        .map(|concept| (concept.words, concept.picture));
    finish(&mut writer, &references.collect::<Vec<_>>(), &finished)
}

fn load(arguments: &Arguments, folder: &Path) -> Result<FluxPipeline, Box<dyn Error>> {
    let options = &arguments.flux;
    let device = arguments.backend.device()?;
    let residency = match (options.stream_weights, arguments.low_memory) {
        (true, _) => Residency::Disk,
        (false, true) => Residency::WhileUsed,
        (false, false) => Residency::Memory,
    };
    if arguments.adapter.is_none() && !arguments.concepts.is_empty() {
        return Err("--concept needs --adapter".into());
    }
    let mut model =
        FluxFolder::open(folder, &device, arguments.dtype.into())?.with_files(arguments.files());
    if let Some(file) = &options.transformer {
        model = model.with_transformer(file);
    }
    let mut pipeline = FluxPipeline::load(model, residency)?;
    if let Some(adapter) = &arguments.adapter {
        let placement = options
            .placement
            .map_or_else(Placement::default, Into::into);
        pipeline.load_condition_adapter(adapter, placement)?;
    }
    for lora in &options.loras {
        pipeline.add_style_adapter(&lora.file, lora.strength)?;
    }
    Ok(pipeline)
}

fn plan(
    pipeline: &FluxPipeline,
    mode: ModeArgument,
    arguments: &Arguments,
) -> Result<AttentionPlan, Box<dyn Error>> {
    let config = pipeline.config();
    let fidelity = arguments.fidelity.into();
    Ok(match (mode, &arguments.concept_block) {
        (ModeArgument::Conceptrol, None) => conceptrol_plan(config, fidelity)?,
        (ModeArgument::Conceptrol, Some(site)) => {
            conceptrol_plan_at(config, ConceptBlock::joint(SiteSelector::named(site)))?
        }
        (ModeArgument::IpAdapter, _) => ominicontrol_plan(config)?,
        (ModeArgument::TextOnly, _) => AttentionPlan::plain(&pipeline.attention_sites()),
    })
}

/// Options that FLUX does not have.
fn refuse(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let unknown = [
        ("--negative-prompt", arguments.negative_prompt.is_some()),
        ("--scheduler", arguments.scheduler.is_some()),
        ("--image-encoder", arguments.image_encoder.is_some()),
        ("--mask", !arguments.masks.is_empty()),
        ("--preview-every", arguments.preview_every.is_some()),
    ];
    match unknown.iter().find(|(_, given)| *given) {
        Some((option, _)) => Err(format!("{option} is not for FLUX models").into()),
        None => Ok(()),
    }
}

fn request(arguments: &Arguments) -> Result<FluxRequest, Box<dyn Error>> {
    let prompt = arguments.prompt.clone().ok_or("--model needs --prompt")?;
    let mut concepts = Vec::new();
    for concept in &arguments.concepts {
        let mut request = ConceptRequest::new(&concept.phrase, open(&concept.image)?);
        request.occurrence = Occurrence::Nth(arguments.occurrence as usize - 1);
        request.scale = concept.scale;
        concepts.push(request);
    }
    let defaults = FluxRequest::new(prompt);
    let window = StepWindow::after_warmup(arguments.warmup.unwrap_or(0.0))?;
    let strength = arguments.scale.unwrap_or(1.0);
    let seed = arguments.seed.unwrap_or(0);
    Ok(FluxRequest {
        concepts,
        height: arguments.height.unwrap_or(defaults.height),
        width: arguments.width.unwrap_or(defaults.width),
        steps: arguments.steps.unwrap_or(defaults.steps),
        guidance: arguments.guidance.unwrap_or(defaults.guidance),
        seeds: (0..u64::from(arguments.images))
            .map(|index| seed.wrapping_add(index))
            .collect(),
        condition: ConditionSchedule::new(strength, window).outside(defaults.condition.outside),
        vae_tile: arguments.vae_tile,
        fidelity: arguments.fidelity.into(),
        ..defaults
    })
}

fn generate(
    pipeline: &FluxPipeline,
    request: &FluxRequest,
    prepared: &Prepared,
    mode: ModeArgument,
    plan: &AttentionPlan,
    interrupt: &Interrupt,
) -> Result<Finished, Box<dyn Error>> {
    let label = match mode {
        ModeArgument::Conceptrol => "conceptrol",
        ModeArgument::IpAdapter => "ominicontrol",
        ModeArgument::TextOnly => "text_only",
    };
    let mut steps = Steps::new(label, request.steps);
    let mut observer = |progress: Progress<'_>| {
        // reading a value waits for the step, so that the bar tells the truth on every backend
        let _ = progress
            .latents
            .clone()
            .slice_dim(0, 0..1)
            .max()
            .into_data();
        steps.advance();
        interrupt.check()
    };
    let (latents, session) = pipeline.denoise(request, prepared, plan, &mut observer)?;
    let per_step = steps.finish();
    let masks = if mode == ModeArgument::Conceptrol {
        read_masks(&session)
    } else {
        Vec::new()
    };
    let found = session.concepts().iter().map(|concept| {
        let spans: Vec<String> = concept
            .spans
            .iter()
            .flatten()
            .map(|span| format!("{span:?}"))
            .collect();
        format!("`{}` at tokens {}", concept.name, spans.join(" and "))
    });
    Ok(Finished {
        label,
        found: found.collect(),
        masks,
        images: tensor_to_images(pipeline.decode(latents, prepared.grid, request.vae_tile)?),
        per_step,
    })
}

fn parameters(folder: &Path, request: &FluxRequest) -> String {
    let concepts: Vec<&str> = request
        .concepts
        .iter()
        .map(|concept| concept.words.as_str())
        .collect();
    format!(
        "{}\nSteps: {}, CFG scale: {}, Seed: {}, Condition scale: {}, Concepts: {}, Model: {}",
        request.prompt,
        request.steps,
        request.guidance,
        request.seeds[0],
        request.condition.scale,
        concepts.join(", "),
        folder.display()
    )
}
