//! Which family a model is of, and how it is loaded.

use std::{error::Error, path::Path};

use conceptrol_core::pipeline::{LoadOptions, Residency};
use conceptrol_examples::model::is_flux;
use conceptrol_flux::{Flux, pipeline::FluxOptions};
use conceptrol_sd::StableDiffusion;

use crate::{arguments::Arguments, request::request, run::run as run_pipeline};

/// Where the embedded model is.
const ASSETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets");

pub(crate) fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let arguments = &arguments.clone().with_embedded(Path::new(ASSETS));
    let folder = arguments.model.clone().ok_or("no --model")?;
    let folder = arguments.parts.locate(&folder)?;
    if is_flux(&folder)? {
        let pipeline = Flux::open(&folder, flux_options(arguments)?)?;
        let mut request = request(arguments, &pipeline, 0.0)?;
        arguments.references.set(&mut request);
        let mut readers: Vec<_> = pipeline.readers().collect();
        readers.dedup();
        let plain = match readers[..] {
            [] => "ominicontrol",
            [reader] => reader,
            _ => "adapters",
        };
        run_pipeline(arguments, &folder, plain, &pipeline, request)
    } else {
        if let Some(option) = arguments.flux_only() {
            return Err(format!("{option} is for FLUX models only").into());
        }
        let pipeline = StableDiffusion::open(&folder, sd_options(arguments, &folder)?)?;
        let request = request(arguments, &pipeline, 0.2)?;
        run_pipeline(arguments, &folder, "ip_adapter", &pipeline, request)
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
    let (adapters, encoders) = (&arguments.adapters, &arguments.image_encoders);
    check_encoders(adapters.len(), encoders.len())?;
    // beside a single file there is none
    let configurations = arguments.parts.configurations.as_deref();
    let beside = configurations
        .filter(|_| folder.is_file())
        .unwrap_or(folder);
    for (index, adapter) in adapters.iter().enumerate() {
        let given = encoders.get(index).or(encoders.first()).cloned();
        let encoder = given.unwrap_or_else(|| beside.join("image_encoder"));
        options = options.adapter((adapter, encoder));
    }
    Ok(options)
}

fn flux_options(arguments: &Arguments) -> Result<LoadOptions<FluxOptions>, Box<dyn Error>> {
    let mut options = options::<FluxOptions>(arguments)?;
    let (adapters, encoders) = (&arguments.adapters, &arguments.image_encoders);
    check_encoders(adapters.len(), encoders.len())?;
    for (index, adapter) in adapters.iter().enumerate() {
        options = match encoders.get(index).or(encoders.first()) {
            Some(encoder) => options.adapter((adapter, encoder)),
            None => options.adapter(adapter.as_path()),
        };
    }
    arguments.references.set_options(&mut options.extra);
    Ok(options)
}

fn check_encoders(adapters: usize, encoders: usize) -> Result<(), Box<dyn Error>> {
    match (adapters, encoders) {
        (0, 1..) => Err("--image-encoder needs --adapter".into()),
        (all, given) if given > 1 && given != all => {
            Err(format!("{given} image encoders for {all} adapters").into())
        }
        _ => Ok(()),
    }
}
