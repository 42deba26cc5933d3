//! One run, whatever the family: everything is checked, then every mode is computed, then everything is written.

use std::{error::Error, path::Path};

use conceptrol_core::{
    Grid,
    models::image::MaskImage,
    pipeline::{Conditioning, Generation, LocatedConcept, Mode, Pipeline, Request},
};
use conceptrol_examples::{
    mask::on_host,
    memory,
    progress::{Interrupt, Pace, Steps},
    say, say_err,
};
use image::RgbImage;

use crate::{
    arguments::Arguments, control::Given, parameters::parameters, watch::Watch, write::Writer,
};

/// A finished generation.
pub(crate) struct Finished {
    /// Name of the method, for files and labels.
    pub(crate) label: &'static str,
    pub(crate) images: Vec<RgbImage>,
    pub(crate) seeds: Vec<u64>,
    pub(crate) masks: Vec<MaskOnHost>,
    /// What was repainted of the picture it starts from.
    pub(crate) region: Option<MaskImage>,
    located: Vec<LocatedConcept>,
    pace: Pace,
}

/// The last mask of a concept for the first picture.
pub(crate) struct MaskOnHost {
    pub(crate) concept: String,
    pub(crate) grid: Grid,
    pub(crate) values: Vec<f32>,
}

/// `adapter` is what the plain adapter is called.
pub(crate) fn run<P: Pipeline>(
    arguments: &Arguments,
    folder: &Path,
    adapter: &'static str,
    pipeline: &P,
    request: Request<P::Extra>,
    given: Given,
) -> Result<(), Box<dyn Error>> {
    let interrupt = Interrupt::listen(&arguments.out);
    let request = request.cancel(interrupt.cancel());
    let modes = modes(arguments, request.conditioned().next().is_some())?;
    if let Some(option) = arguments.idle_in(&modes) {
        return Err(
            format!("{option} does nothing here: no reference or mask acts in this mode").into(),
        );
    }
    // what is wrong with any mode shows before the first step of the first
    for mode in &modes {
        pipeline.check_request(&request.clone().mode(*mode))?;
    }
    let parameters = parameters(arguments, folder, pipeline, &request)?;
    let mut writer = Writer::new(&arguments.out, parameters)?;
    print_request(folder, pipeline, &request);

    // one encoding serves all modes
    let widest = modes.last().copied().unwrap_or_default();
    let conditioning = pipeline.condition(&request.clone().mode(widest))?;
    for truncated in conditioning.truncated.iter().flatten() {
        say_err!("warning: {truncated}");
        // a family without the option has none to name
        let has_option = !pipeline.profile().scheduler.is_flow_matching();
        if has_option && !arguments.prompts.long_prompts {
            say_err!("hint: --long-prompts reads all of it");
        }
    }
    let mut finished = Vec::new();
    for mode in modes {
        let request = request.clone().mode(mode);
        let label = match mode {
            Mode::Conceptrol => "conceptrol",
            Mode::TextOnly => "text_only",
            _ => adapter,
        };
        let every = arguments.preview_every;
        finished.push(generate(
            pipeline,
            &request,
            conditioning.clone(),
            label,
            every,
            &mut writer,
        )?);
    }
    let references = (request.concepts.into_iter())
        .filter_map(|concept| Some(("reference", concept.name, concept.image?)));
    let controls = (given.controls.into_iter()).map(|(net, picture)| ("control", net, picture));
    let shown: Vec<_> = references.chain(controls).collect();
    let before = request.start.map(|start| start.image).or(given.before);
    writer.write_all(before.as_ref(), &shown, &finished, &interrupt.cancel())?;
    print_results(&finished, &writer);
    Ok(())
}

/// The plain adapter beside Conceptrol, or the mode that was asked for; text only without concepts.
fn modes(arguments: &Arguments, concepts: bool) -> Result<Vec<Mode>, Box<dyn Error>> {
    match arguments.mode.map(Mode::from) {
        None if !concepts => Ok(vec![Mode::TextOnly]),
        None => Ok(vec![Mode::Adapter, Mode::Conceptrol]),
        Some(mode) if mode != Mode::TextOnly && !concepts => {
            Err("this mode needs a concept: --concept \"PHRASE=FILE\"".into())
        }
        Some(mode) => Ok(vec![mode]),
    }
}

fn generate<P: Pipeline>(
    pipeline: &P,
    request: &Request<P::Extra>,
    conditioning: Conditioning<P::Encoded>,
    label: &'static str,
    preview_every: Option<usize>,
    writer: &mut Writer,
) -> Result<Finished, Box<dyn Error>> {
    let mut watch = Watch {
        pipeline,
        request,
        label,
        preview_every,
        writer,
        steps: Steps::new(label),
        failed: None,
    };
    let plan = pipeline.plan(request)?;
    let names: Vec<String> = (request.concepts.iter())
        .map(|concept| concept.name.clone())
        .collect();
    let generation = pipeline.finish(&plan, request, conditioning, &mut watch);
    if let Some(error) = watch.failed {
        return Err(error);
    }
    let pace = watch.steps.finish();
    let Generation {
        images,
        seeds,
        masks,
        located,
        region,
        ..
    } = generation?;
    let masks = names.into_iter().zip(masks);
    Ok(Finished {
        label,
        images,
        seeds,
        masks: masks
            .filter_map(|(concept, mask)| {
                let mask = mask?;
                Some(MaskOnHost {
                    concept,
                    grid: mask.grid(),
                    values: on_host(&mask),
                })
            })
            .collect(),
        located: located.into_iter().flatten().collect(),
        region,
        pace,
    })
}

fn print_request<P: Pipeline>(folder: &Path, pipeline: &P, request: &Request<P::Extra>) {
    let defaults = pipeline.profile().defaults;
    say!("model    {}", folder.display());
    say!("prompt   {}", request.prompts[0]);
    if let Some(start) = &request.start {
        let strength = start.resolved_strength();
        say!("start    a picture, strength {strength}");
    }
    say!(
        "settings {} steps, guidance {}, scale {}, seed {}, {} picture(s)",
        request.steps.unwrap_or(defaults.steps),
        request.guidance.scale.unwrap_or(defaults.guidance),
        request.scale,
        request.seed,
        request.images()
    );
}

/// Says what was done.
fn print_results(finished: &[Finished], writer: &Writer) {
    let located = finished
        .last()
        .map(|run| run.located.as_slice())
        .unwrap_or_default();
    for concept in located {
        let spans: Vec<String> = concept.spans.iter().map(ToString::to_string).collect();
        let (at, tokens) = (spans.join(" and "), concept.tokens.join(" "));
        say!("concept  `{}` at tokens {at} ({tokens})", concept.name);
    }
    for run in finished {
        say!("{:<12} {:.3} s a step", run.label, run.pace.median());
    }
    if let [plain, conceptrol] = finished
        && let Some(overhead) = conceptrol.pace.over(&plain.pace)
    {
        say!(
            "overhead {:+.1} % over {} in this run",
            overhead * 100.0,
            plain.label
        );
    }
    say!(
        "peak     {}",
        memory::peak().map_or_else(|| "unknown".into(), memory::human)
    );
    for path in writer.written() {
        say!("wrote    {}", path.display());
    }
}
