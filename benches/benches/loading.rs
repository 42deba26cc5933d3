//! Loading a whole model of published size from one file of f16 and random numbers, alone and with a low-rank adapter merged
//! into every layer of the UNet, beside reading the file once.
//!
//! `cargo bench -p conceptrol-benches --bench loading [-- --model sd15]`, SDXL if absent, once each; the files are written once, to the
//! target folder, and take 2.1 or 6.9 GB. `--dtype f16` keeps weights as they are stored.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    process::ExitCode,
};

use burn::tensor::Device;
use clap::Parser;
use conceptrol_benches::{
    Failure, Size,
    harness::{Bench, Common, Way, run},
    parameters, write_random,
};
use conceptrol_core::{
    models::{
        autoencoder_kl::{self, AutoencoderKl},
        clip_text::{self, ClipTextModel},
        weights::{Checkpoint, TensorInfo, Weights},
    },
    pipeline::LoadOptions,
};
use conceptrol_sd::{
    StableDiffusion,
    published::Published,
    unet::{self, UNet2DConditionModel},
};

/// Rank of the adapter, as published styles have it.
const RANK: usize = 32;

#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Whose size the model has.
    #[arg(long, default_value = "sdxl")]
    model: Size,
}

fn main() -> ExitCode {
    run("loading", |of: &Arguments| &of.common, measure)
}

fn measure(arguments: &Arguments, bench: &mut Bench) -> Result<(), Failure> {
    bench.heading();
    if arguments.common.small {
        return Err("a small model has no published file".into());
    }
    let (model, name) = match arguments.model {
        Size::Sdxl => (Published::Sdxl, "sdxl"),
        Size::Sd15 => (Published::Sd15, "sd15"),
    };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(format!("{name}_whole.safetensors"));
    let unet = tensors(|weights| drop(UNet2DConditionModel::new(&model.unet(), weights)))?;
    if !path.exists() {
        write_whole(model, &unet, folder, &path)?;
    }
    let style = folder.join(format!("{name}_style_{RANK}.safetensors"));
    write_random(&style, &adapter(&unet))?;

    let size = fs::metadata(&path)?.len();
    println!("{}: {:.3} GB", path.display(), size as f64 / 1e9);
    let options = || LoadOptions::new(bench.device().clone()).dtype(bench.dtype());
    let (plain, merged) = (options(), options().lora(&style, 0.8));
    // the first round brings the file into the page cache
    let mut ways = [
        Way::new("reading the file once", || read_once(&path)),
        Way::new("all parts", || load(&path, plain.clone())),
        Way::new("with an adapter merged", || load(&path, merged.clone())),
    ];
    bench.compare(name, 1, 0, &mut ways)?;
    Ok(())
}

fn read_once(path: &Path) -> Result<(), Failure> {
    let (mut file, mut buffer) = (File::open(path)?, vec![0; 1 << 24]);
    while file.read(&mut buffer)? > 0 {}
    Ok(())
}

fn load(path: &Path, options: LoadOptions) -> Result<(), Failure> {
    let pipeline = StableDiffusion::open(path, options)?;
    let unet = pipeline.unet()?;
    let others = (pipeline.vae()?, pipeline.text_encoders()?);
    drop((unet, others));
    Ok(())
}

/// What a model reads.
fn tensors(build: impl FnOnce(&Weights)) -> Result<Vec<TensorInfo>, Failure> {
    let weights = Weights::names(&Device::flex());
    build(&weights);
    Ok(weights.finish()?)
}

/// Random numbers for every part, joined under the names of the published file.
fn write_whole(
    model: Published,
    unet: &[TensorInfo],
    folder: &Path,
    path: &Path,
) -> Result<(), Failure> {
    let mut written = Vec::new();
    let mut part = |name: &str, tensors: &[TensorInfo]| -> Result<Checkpoint, Failure> {
        println!(
            "{name}: {:.3} G parameters",
            parameters(tensors) as f64 / 1e9
        );
        let path: PathBuf = folder.join(format!("{name}_part.safetensors"));
        write_random(&path, tensors)?;
        written.push(path.clone());
        Ok(Checkpoint::open(path)?)
    };
    let unet = unet::original_names(&model.unet(), &part("unet", unet)?)?;
    let vae = tensors(|weights| drop(AutoencoderKl::new(&model.vae(), weights)))?;
    let vae = autoencoder_kl::original_names(&part("vae", &vae)?)?;
    let mut parts = vec![
        ("model.diffusion_model.", unet),
        ("first_stage_model.", vae),
    ];
    for (index, config) in model.text_encoders().iter().enumerate() {
        let text = tensors(|weights| drop(ClipTextModel::new(config, weights)))?;
        let text = part(&format!("text_{index}"), &text)?;
        parts.push(match (model, index) {
            (Published::Sd15, _) => ("cond_stage_model.transformer.", text),
            (Published::Sdxl, 0) => ("conditioner.embedders.0.transformer.", text),
            (Published::Sdxl, _) => (
                "conditioner.embedders.1.model.",
                clip_text::open_clip_names(&text)?,
            ),
        });
    }
    Checkpoint::together(path, parts)?.write(path, None)?;
    written.iter().try_for_each(fs::remove_file)?;
    Ok(())
}

/// Factors for every layer of the UNet, under the names of peft.
fn adapter(unet: &[TensorInfo]) -> Vec<TensorInfo> {
    let layers = unet.iter().filter(|tensor| tensor.shape.len() > 1);
    let factors = layers.flat_map(|tensor| {
        let module = tensor.name.trim_end_matches(".weight");
        let (mut down, mut up) = (tensor.clone(), tensor.clone());
        down.name = format!("unet.{module}.lora_A.weight");
        down.shape[0] = RANK;
        up.name = format!("unet.{module}.lora_B.weight");
        up.shape[1..].fill(1);
        up.shape[1] = RANK;
        [down, up]
    });
    factors.collect()
}
