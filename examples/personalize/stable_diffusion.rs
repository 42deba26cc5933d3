//! Stable Diffusion 1.5 and XL with an IP-Adapter.

use std::{
    error::Error,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use conceptrol_core::{
    Occurrence, SiteSelector, StepWindow,
    mask::ConceptBlock,
    message::shown_path,
    models::image::{open, open_mask},
};
use conceptrol_examples::progress::{Interrupt, Steps};
use conceptrol_sd::pipeline::{
    ConceptRequest, FoundConcept, LoadOptions, Mode, Request, StableDiffusion, StepReport, Words,
};

use crate::{
    arguments::{Arguments, ConceptArgument, FidelityArgument},
    run::{ASSETS, Finished, finish, read_masks},
    write::Writer,
};

pub(crate) fn run(arguments: &Arguments, folder: &Path) -> Result<(), Box<dyn Error>> {
    if let Some(option) = arguments.flux.given() {
        return Err(format!("{option} is for FLUX models only").into());
    }
    let embedded = arguments.model.is_none();
    let device = arguments.backend.device()?;
    let mut options = LoadOptions::new(device).dtype(arguments.dtype.into());
    if arguments.low_memory {
        options = options.low_memory();
    }
    options = options.files(arguments.files());
    match (&arguments.adapter, &arguments.image_encoder) {
        (None, None) if embedded => {
            let adapter = folder.join("ip-adapter.safetensors");
            options = options.adapter(adapter, folder.join("image_encoder"));
        }
        (Some(adapter), encoder) => {
            options = options.adapter(
                adapter,
                encoder
                    .clone()
                    .unwrap_or_else(|| folder.join("image_encoder")),
            );
        }
        (None, Some(_)) => return Err("--image-encoder needs --adapter".into()),
        (None, None) => {}
    }
    let pipeline = StableDiffusion::open(folder, options)?;
    let request = request(arguments, &pipeline, embedded)?;
    let modes = modes(arguments, &request)?;
    pipeline.condition(&request.clone().mode(modes[0]))?; // what is wrong with the request shows before the first step
    print_request(folder, &request);

    let interrupt = Interrupt::listen();
    let mut writer = Writer::new(&arguments.out, parameters(folder, &request))?;
    let mut finished = Vec::new();
    for mode in modes {
        finished.push(generate(
            &pipeline,
            request.clone().mode(mode),
            arguments,
            &interrupt,
            &mut writer,
        )?);
    }
    let references = request
        .concepts
        .into_iter()
        .filter_map(|concept| Some((concept.name, concept.image?)));
    finish(&mut writer, &references.collect::<Vec<_>>(), &finished)
}

/// IP-Adapter beside Conceptrol, or the one that was asked for; text only without concepts.
fn modes(arguments: &Arguments, request: &Request) -> Result<Vec<Mode>, Box<dyn Error>> {
    match arguments.mode {
        None if request.concepts.is_empty() => Ok(vec![Mode::TextOnly]),
        None => Ok(vec![Mode::IpAdapter, Mode::Conceptrol]),
        Some(mode) => {
            let mode = Mode::from(mode);
            if mode != Mode::TextOnly && request.concepts.is_empty() {
                return Err("this mode needs a concept: --concept \"PHRASE=FILE\"".into());
            }
            Ok(vec![mode])
        }
    }
}

fn request(
    arguments: &Arguments,
    pipeline: &StableDiffusion,
    embedded: bool,
) -> Result<Request, Box<dyn Error>> {
    let prompt = match (&arguments.prompt, embedded) {
        (Some(prompt), _) => prompt.clone(),
        (None, true) => "an elephant and a car on the grass".to_owned(),
        (None, false) => return Err("--model needs --prompt".into()),
    };
    let mut concepts = arguments.concepts.clone();
    if embedded && concepts.is_empty() && arguments.prompt.is_none() {
        let image = PathBuf::from(ASSETS).join("tiny-sd/references/purple_elephant.png");
        concepts.push(ConceptArgument {
            phrase: "elephant".into(),
            image,
            scale: 1.0,
        });
    }
    if !concepts.is_empty() && pipeline.adapter_count() == 0 {
        return Err("--concept needs --adapter".into());
    }
    let mut request = Request::new(prompt)
        .scale(arguments.scale.unwrap_or(1.0))
        .window(StepWindow::after_warmup(arguments.warmup.unwrap_or(0.2))?)
        .steps(arguments.steps.unwrap_or(50))
        .guidance_scale(f64::from(arguments.guidance.unwrap_or(7.5)))
        .seed(arguments.seed.unwrap_or(if embedded { 10 } else { 0 })); // see the model card
    request.negative_prompts = arguments.negative_prompt.clone().map(|prompt| vec![prompt]);
    request.images_per_prompt = arguments.images as usize;
    request.fidelity = arguments.fidelity.into();
    request.vae_tile = arguments.vae_tile;
    if arguments.width.is_some() || arguments.height.is_some() {
        let (width, height) = pipeline.default_size();
        request.size = Some((
            arguments.width.unwrap_or(width),
            arguments.height.unwrap_or(height),
        ));
    }
    if let Some(name) = &arguments.scheduler {
        request.scheduler = Some(pipeline.scheduler().with_name(name)?);
    }
    if let Some(site) = &arguments.concept_block {
        request.mask_source = Some(Arc::new(ConceptBlock::cross(SiteSelector::named(site))));
    }
    for concept in &concepts {
        request = request.concept(self::concept(concept, arguments)?);
    }
    if let Some((phrase, _)) = arguments
        .masks
        .iter()
        .find(|(phrase, _)| concepts.iter().all(|c| c.phrase != *phrase))
    {
        return Err(format!("--mask names `{phrase}`, which no --concept does").into());
    }
    Ok(request)
}

fn concept(
    argument: &ConceptArgument,
    arguments: &Arguments,
) -> Result<ConceptRequest, Box<dyn Error>> {
    let mut concept =
        ConceptRequest::new(&argument.phrase, open(&argument.image)?).scale(argument.scale);
    if arguments.fidelity == FidelityArgument::Paper {
        concept = concept.words(Words::Named(Occurrence::Nth(
            arguments.occurrence as usize - 1,
        )));
    }
    if let Some((_, file)) = arguments
        .masks
        .iter()
        .find(|(phrase, _)| *phrase == argument.phrase)
    {
        let mask = open_mask(file)?;
        if let Some(warning) = mask.warning {
            eprintln!("warning: {}: {warning}", shown_path(file));
        }
        concept = concept.mask(mask.to_concept_mask(&arguments.backend.device()?));
    }
    Ok(concept)
}

fn generate(
    pipeline: &StableDiffusion,
    request: Request,
    arguments: &Arguments,
    interrupt: &Interrupt,
    writer: &mut Writer,
) -> Result<Finished, Box<dyn Error>> {
    let mode = request.mode;
    let config = request
        .scheduler
        .as_ref()
        .unwrap_or_else(|| pipeline.scheduler());
    let total = config
        .build(request.steps, &request.scheduler_options)?
        .timesteps()
        .len();
    let mut steps = Steps::new(label(mode), total);
    let mut masks = Vec::new();
    let mut preview_error = None;
    let generation = pipeline.generate(&request, &mut |report: &StepReport<'_>| {
        // reading a value waits for the step, so that the bar tells the truth on every backend
        let _ = report.latents.clone().slice_dim(0, 0..1).max().into_data();
        steps.advance();
        let last = report.step.index + 1 == report.step.total;
        if arguments
            .preview_every
            .is_some_and(|every| (report.step.index + 1).is_multiple_of(every))
            && !last
        {
            let preview = pipeline
                .pictures(report.denoised.denoised(), request.vae_tile)
                .map_err(Into::into);
            if let Err(error) = preview.and_then(|pictures| {
                writer.preview(label(mode), report.step.index + 1, &pictures[0])
            }) {
                preview_error = Some(error);
                return ControlFlow::Break(());
            }
        }
        if last && mode == Mode::Conceptrol {
            masks = read_masks(report.session);
        }
        interrupt.check()
    });
    if let Some(error) = preview_error {
        return Err(error);
    }
    let generation = generation?;
    let per_step = steps.finish();
    for cut in generation.cut.iter().flatten() {
        eprintln!("warning: {cut}");
    }
    let found = generation.found.iter().flatten().map(describe).collect();
    Ok(Finished {
        label: label(mode),
        images: generation.images,
        masks,
        found,
        per_step,
    })
}

fn describe(found: &FoundConcept) -> String {
    let spans: Vec<String> = found.spans.iter().map(ToString::to_string).collect();
    format!(
        "`{}` at tokens {} ({})",
        found.name,
        spans.join(" and "),
        found.tokens.join(" ")
    )
}

/// The name of a mode for files and bars.
fn label(mode: Mode) -> &'static str {
    match mode {
        Mode::Conceptrol => "conceptrol",
        Mode::IpAdapter => "ip_adapter",
        Mode::TextOnly => "text_only",
    }
}

fn print_request(folder: &Path, request: &Request) {
    println!("model    {}", folder.display());
    println!("prompt   {}", request.prompts[0]);
    println!(
        "settings {} steps, guidance {}, scale {}, seed {}, {} picture(s)",
        request.steps,
        request.guidance.scale,
        request.scale,
        request.seed,
        request.images()
    );
}

/// What a picture was made with, in the form other tools read.
fn parameters(folder: &Path, request: &Request) -> String {
    let concepts: Vec<String> = request
        .concepts
        .iter()
        .map(|concept| format!("{} ({})", concept.name, concept.scale))
        .collect();
    format!(
        "{}\nNegative prompt: {}\nSteps: {}, CFG scale: {}, Seed: {}, Condition scale: {}, Concepts: {}, Model: {}",
        request.prompts[0],
        request
            .negative_prompts
            .as_ref()
            .and_then(|prompts| prompts.first())
            .map_or("", String::as_str),
        request.steps,
        request.guidance.scale,
        request.seed,
        request.scale,
        concepts.join(", "),
        folder.display(),
    )
}
