//! FLUX with OminiControl: the adapter is a LoRA, the plain method OminiControl.

use std::{error::Error, path::Path};

use conceptrol_core::{
    AttentionPlan, ConditionSchedule, Occurrence, StepWindow,
    models::image::{open, tensor_to_images},
};
use conceptrol_examples::progress::{Interrupt, Steps};
use conceptrol_flux::{
    load::{FluxFolder, Residency},
    omini::Placement,
    pipeline::{
        ConceptRequest, FluxPipeline, FluxRequest, Progress, conceptrol_plan, ominicontrol_plan,
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
        Some(mode) => vec![mode],
    };
    let device = arguments.backend.device()?;
    let residency = if arguments.stream_weights {
        Residency::Disk
    } else {
        Residency::Memory
    };
    let model = FluxFolder::open(folder, &device, arguments.dtype.into())?;
    let mut pipeline = FluxPipeline::load(model, residency)?;
    if let Some(adapter) = &arguments.adapter {
        pipeline.load_condition_adapter(adapter, Placement::default())?;
    } else if !request.concepts.is_empty() {
        return Err("--concept needs --adapter".into());
    }
    println!("model    {}", folder.display());
    println!("prompt   {}", request.prompt);
    println!(
        "settings {} steps, guidance {}, scale {}, seeds {:?}",
        request.steps, request.guidance, request.condition.scale, request.seeds
    );

    let interrupt = Interrupt::listen();
    let mut writer = Writer::new(&arguments.out, parameters(folder, &request))?;
    let mut finished = Vec::new();
    for mode in modes {
        finished.push(generate(&pipeline, &request, mode, arguments, &interrupt)?);
    }
    let references = request
        .concepts
        .into_iter()
        .map(|concept| (concept.words, concept.picture));
    finish(&mut writer, &references.collect::<Vec<_>>(), &finished)
}

/// Options that FLUX does not have.
fn refuse(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let unknown = [
        ("--negative-prompt", arguments.negative_prompt.is_some()),
        ("--scheduler", arguments.scheduler.is_some()),
        ("--image-encoder", arguments.image_encoder.is_some()),
        ("--mask", !arguments.masks.is_empty()),
        ("--concept-block", arguments.concept_block.is_some()),
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
        condition: ConditionSchedule::new(strength, window)
            .with_outside(defaults.condition.outside),
        timing: arguments.timing.into(),
        ..defaults
    })
}

fn generate(
    pipeline: &FluxPipeline,
    request: &FluxRequest,
    mode: ModeArgument,
    arguments: &Arguments,
    interrupt: &Interrupt,
) -> Result<Finished, Box<dyn Error>> {
    let config = pipeline.config();
    let mut request = request.clone();
    let (label, plan) = match mode {
        ModeArgument::Conceptrol => (
            "conceptrol",
            conceptrol_plan(config, arguments.timing.into())?,
        ),
        ModeArgument::IpAdapter => ("ominicontrol", ominicontrol_plan(config)?),
        ModeArgument::TextOnly => {
            request.concepts.clear();
            (
                "text_only",
                AttentionPlan::plain(&pipeline.attention_sites()),
            )
        }
    };
    let mut steps = Steps::new(label, request.steps);
    let generated = pipeline.generate(&request, &plan, &mut |progress: Progress<'_>| {
        // reading a value waits for the step, so that the bar tells the truth on every backend
        let _ = progress
            .latents
            .clone()
            .slice_dim(0, 0..1)
            .max()
            .into_data();
        steps.advance();
        interrupt.check()
    })?;
    let per_step = steps.finish();
    let masks = if mode == ModeArgument::Conceptrol {
        read_masks(&generated.session)
    } else {
        Vec::new()
    };
    let found = generated.session.concepts().iter().map(|concept| {
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
        images: tensor_to_images(generated.pictures),
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
