//! Which family a model is of.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use conceptrol_core::{
    models::config::Fields,
    pipeline::{LoadOptions, Residency},
};
use conceptrol_flux::{Flux, pipeline::FluxOptions};
use conceptrol_sd::StableDiffusion;

use crate::{arguments::Arguments, request::request, run::run as run_pipeline};

/// Where the embedded model is.
const ASSETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets");

pub(crate) fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let arguments = &arguments.clone().with_embedded(Path::new(ASSETS));
    let folder = arguments.model.clone().ok_or("no --model")?;
    check_folder(&folder)?;
    let index = Fields::open("pipeline", folder.join("model_index.json"))?;
    let class = index.optional_text("_class_name")?;
    if class.is_some_and(|class| class.starts_with("Flux")) {
        let pipeline = Flux::open(&folder, flux_options(arguments)?)?;
        let request = request(arguments, &pipeline, 0.0)?;
        run_pipeline(arguments, &folder, "ominicontrol", &pipeline, request)
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
    Ok(options)
}

fn sd_options(arguments: &Arguments, folder: &Path) -> Result<LoadOptions, Box<dyn Error>> {
    let mut options = options(arguments)?;
    let (adapters, encoders) = (&arguments.adapters, &arguments.image_encoders);
    match (adapters.len(), encoders.len()) {
        (0, 1..) => return Err("--image-encoder needs --adapter".into()),
        (all, given) if given > 1 && given != all => {
            return Err(format!("{given} image encoders for {all} adapters").into());
        }
        _ => {}
    }
    for (index, adapter) in adapters.iter().enumerate() {
        let given = encoders.get(index).or(encoders.first()).cloned();
        let encoder = given.unwrap_or_else(|| folder.join("image_encoder"));
        options = options.adapter((adapter, encoder));
    }
    Ok(options)
}

fn flux_options(arguments: &Arguments) -> Result<LoadOptions<FluxOptions>, Box<dyn Error>> {
    let mut options = options::<FluxOptions>(arguments)?;
    if !arguments.image_encoders.is_empty() {
        return Err("--image-encoder is not for FLUX models".into());
    }
    for adapter in &arguments.adapters {
        options = options.adapter(adapter.as_path());
    }
    options
        .extra
        .transformer
        .clone_from(&arguments.flux.transformer);
    if let Some(placement) = arguments.flux.placement {
        options.extra.placement = placement.into();
    }
    Ok(options)
}

/// What people give that is no folder of diffusers, in one sentence each.
fn check_folder(path: &Path) -> Result<(), String> {
    let shown = path.display();
    if path.is_file() {
        return Err(format!(
            "{shown} is a single file: --model takes a folder as diffusers saves it, with model_index.json"
        ));
    }
    if !path.exists() {
        let parts: Vec<_> = path.iter().collect();
        return Err(match (path.is_relative(), parts.as_slice()) {
            (true, [_, _]) => format!(
                "there is no folder {shown}; if it is a name on a hub, download it first and give its folder"
            ),
            _ => format!("there is no folder {shown}"),
        });
    }
    if let Some(snapshot) = snapshot(path) {
        return Err(format!(
            "{shown} is a cache of a hub: give the model in it, {}",
            snapshot.display()
        ));
    }
    Ok(())
}

/// A model below the `snapshots` of a hub's cache.
fn snapshot(path: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(path.join("snapshots")).ok()?;
    let mut models = entries.flatten().map(|entry| entry.path());
    models.find(|model| model.join("model_index.json").exists())
}
