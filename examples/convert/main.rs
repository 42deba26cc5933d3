//! Writes a model in another layout: a diffusers folder as a single file, a single file as a folder, a FLUX transformer (GGUF,
//! fp8, original names or diffusers') as one file or as the folder of that part.
//!
//! ```console
//! cargo run --release --example convert -- IN OUT [--dtype f16]
//! ```
//!
//! OUT is a single file if its name ends in `.safetensors`, a folder otherwise. Tensors keep their types unless one is given;
//! what is quantised needs one. One tensor at a time is in memory, and files appear whole or not at all.

#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::{
    error::Error,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use burn::tensor::{Device, FloatDType};
use clap::Parser;
use conceptrol_core::{
    models::{file::write_whole, weights::Checkpoint},
    pipeline::LoadOptions,
};
use conceptrol_examples::{
    device::Precision,
    model::{PartArguments, is_flux},
    output::ended,
    say,
};
use conceptrol_flux::{
    FluxConfig,
    load::{config_of, original_checkpoint, transformer_checkpoint},
};
use conceptrol_sd::pipeline::SavedModel;

/// Write a model in another layout.
#[derive(Debug, Parser)]
struct Arguments {
    /// A diffusers folder, a single file, or a model on the hub.
    #[arg(value_name = "IN")]
    from: PathBuf,
    /// A file that ends in .safetensors, or a folder.
    #[arg(value_name = "OUT")]
    to: PathBuf,
    /// Type of the tensors that are written [default: as they are stored].
    #[arg(long)]
    dtype: Option<Precision>,
    #[command(flatten)]
    parts: PartArguments,
}

fn main() -> ExitCode {
    ended(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let from = arguments.parts.locate(&arguments.from)?;
    let to = &arguments.to;
    if to.exists() {
        return Err(format!("{} is there already", to.display()).into());
    }
    let dtype = arguments.dtype.map(FloatDType::from);
    if let Some(transformer) = flux(&from)? {
        if let Some((part, _)) = arguments.parts.given().next() {
            let option = part.replace('_', "-");
            return Err(
                format!("--{option}: of FLUX the transformer of IN is written alone").into(),
            );
        }
        let configurations = arguments.parts.configurations.as_deref();
        write_flux(configurations.unwrap_or(&from), &transformer, to, dtype)?;
    } else {
        let options: LoadOptions = LoadOptions::new(Device::flex());
        let model = SavedModel::open(&from, &arguments.parts.set(options))?;
        match is_file(to) {
            true => model.single_file()?.write(to, dtype)?,
            false => model.write_folder(to, dtype)?,
        }
    }
    say!("wrote    {}", to.display());
    Ok(())
}

fn is_file(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ending == "safetensors")
}

/// The transformer of FLUX, if it is one.
fn flux(from: &Path) -> Result<Option<Checkpoint>, Box<dyn Error>> {
    if from.is_dir() {
        if !is_flux(from)? {
            return Ok(None);
        }
        let transformer = Checkpoint::open(from.join("transformer"))?;
        return Ok(Some(transformer_checkpoint(&transformer)?));
    }
    let file = transformer_checkpoint(&Checkpoint::open(from)?)?;
    Ok(Some(file).filter(|file| file.contains("x_embedder.weight")))
}

/// `beside` is the folder that may have its configuration.
fn write_flux(
    beside: &Path,
    transformer: &Checkpoint,
    to: &Path,
    dtype: Option<FloatDType>,
) -> Result<(), Box<dyn Error>> {
    if is_file(to) {
        return Ok(original_checkpoint(transformer)?.write(to, dtype)?);
    }
    let folder = to.join("transformer");
    let config = match beside.join("transformer/config.json") {
        path if path.exists() => FluxConfig::from_file(path)?,
        _ => config_of(transformer)?,
    };
    let mut config = serde_json::to_value(config)?;
    config["_class_name"] = "FluxTransformer2DModel".into();
    transformer.write(folder.join("diffusion_pytorch_model.safetensors"), dtype)?;
    let text = format!("{config:#}\n");
    write_whole(&folder.join("config.json"), |file| {
        Ok(file.write_all(text.as_bytes())?)
    })
}
