//! Which family a model is of, and how it is loaded.

use std::{error::Error, path::Path};

use conceptrol_core::pipeline::{Family, Gating, LoadOptions, Residency};
use conceptrol_examples::model::is_flux;
use conceptrol_flux::{
    Flux,
    pipeline::{Extra as FluxExtra, FluxOptions},
};
use conceptrol_sd::StableDiffusion;

use crate::{
    arguments::Arguments,
    control::Given,
    request::{phrases, request},
    run::run as run_pipeline,
};

/// Where the embedded model is.
const ASSETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets");

pub(crate) fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let arguments = &arguments
        .clone()
        .with_embedded(Path::new(ASSETS))
        .with_auto()?;
    let folder = arguments.model.clone().ok_or("no --model")?;
    let folder = arguments.parts.locate(&folder)?;
    if is_flux(&folder)? {
        if let Some(option) = (arguments.control.given()).or(arguments.prompts.given()) {
            return Err(format!("{option} is for Stable Diffusion models only").into());
        }
        let pipeline = Flux::open(&folder, flux_options(arguments)?)?;
        let warmup = match pipeline.profile().gating {
            Gating::Factor => 0.2,
            _ => 0.0,
        };
        let mut request = request(arguments, &pipeline, warmup, FluxExtra::default())?;
        request.extra.text_rows = !arguments.flux.no_text_rows;
        arguments.references.set(&mut request);
        let mut readers: Vec<_> = pipeline.readers().collect();
        readers.dedup();
        let plain = match readers[..] {
            [] => "ominicontrol",
            [reader] => reader,
            _ => "adapters",
        };
        let given = Given::default();
        run_pipeline(arguments, &folder, plain, &pipeline, request, given)
    } else {
        if let Some(option) = arguments.flux_only() {
            return Err(format!("{option} is for FLUX models only").into());
        }
        let pipeline = StableDiffusion::open(&folder, sd_options(arguments, &folder)?)?;
        let mut extra = arguments.control.extra(&phrases(arguments))?;
        extra.reading = arguments.prompts.reading();
        let given = arguments.control.pictures(&extra);
        let request = request(arguments, &pipeline, 0.2, extra)?;
        run_pipeline(arguments, &folder, "ip_adapter", &pipeline, request, given)
    }
}

fn options<X: Default>(arguments: &Arguments) -> Result<LoadOptions<X>, Box<dyn Error>> {
    let device = arguments.backend.device()?;
    let residency = match (arguments.flux.stream_weights, arguments.low_memory) {
        (true, _) => Residency::Disk,
        (false, true) => Residency::WhileUsed,
        (false, false) => Residency::Memory,
    };
    let mut options = LoadOptions::new(device)
        .dtype(arguments.dtype.into())
        .residency(residency)
        .files(arguments.files());
    for (path, strength) in &arguments.loras {
        options = options.lora(path, *strength);
    }
    for lora in &arguments.loras_at {
        options = options.lora_apart(&lora.image);
    }
    for (word, path) in &arguments.embeddings {
        options = match word {
            Some(word) => options.embedding_as(path, word),
            None => options.embedding(path),
        };
    }
    Ok(arguments.parts.set(options))
}

fn sd_options(arguments: &Arguments, folder: &Path) -> Result<LoadOptions, Box<dyn Error>> {
    let mut options = options(arguments)?;
    for control in &arguments.control.controls {
        options = options.controlnet(&control.net);
    }
    // beside a single file there is none
    let configurations = arguments.parts.configurations.as_deref();
    let beside = configurations
        .filter(|_| folder.is_file())
        .unwrap_or(folder);
    for (adapter, encoder) in adapters(arguments)? {
        let encoder = encoder.map_or_else(|| beside.join("image_encoder"), Path::to_owned);
        options = options.adapter((adapter, encoder));
    }
    Ok(options)
}

/// An adapter and the image encoder that is given for it, or for all.
type AdapterPaths<'a> = (&'a Path, Option<&'a Path>);

fn adapters(arguments: &Arguments) -> Result<Vec<AdapterPaths<'_>>, Box<dyn Error>> {
    let (adapters, encoders) = (&arguments.adapters, &arguments.image_encoders);
    match (adapters.len(), encoders.len()) {
        (0, 1..) => return Err("--image-encoder needs --adapter".into()),
        (all, given) if given > 1 && given != all => {
            return Err(format!("{given} image encoders for {all} adapters").into());
        }
        _ => {}
    }
    let encoder = |index| encoders.get(index).or(encoders.first());
    let numbered = adapters.iter().enumerate();
    let pairs = numbered.map(|(index, adapter)| {
        let encoder = encoder(index).map(|path| path.as_path());
        (adapter.as_path(), encoder)
    });
    Ok(pairs.collect())
}

fn flux_options(arguments: &Arguments) -> Result<LoadOptions<FluxOptions>, Box<dyn Error>> {
    let mut options = options::<FluxOptions>(arguments)?;
    for (adapter, encoder) in adapters(arguments)? {
        options = match encoder {
            Some(encoder) => options.adapter((adapter, encoder)),
            None => options.adapter(adapter),
        };
    }
    arguments.references.set_options(&mut options.extra);
    if let Some(bits) = arguments.flux.quantize {
        options.extra.weights = bits.into();
    }
    Ok(options)
}
