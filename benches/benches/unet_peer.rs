//! Our half of `peers/unet_step.py`: loading and steps of a full-size UNet, one a request.
//!
//! `unet_peer FOLDER f32|bf16 [--backend BACKEND]` reads `unet/` (as diffusers writes it), `adapter.safetensors` and `inputs.safetensors` of
//! `FOLDER`, all made by the script. Each line of the standard input is a plan (`text`, `adapter`, `conceptrol`) to take one step
//! with. The answer is a line `SECONDS PEAK_BYTES MEAN_ABSOLUTE_OUTPUT`. `unet_peer FOLDER f32|bf16 load` only loads the UNet and
//! adds up its weights, and prints `SECONDS PEAK_BYTES SUM_OF_WEIGHTS`; `map` in place of `load` maps the file.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::{Device, FloatDType, Tensor},
};
use bytes::Bytes;
use clap::{Parser, ValueEnum};
use conceptrol_benches::{
    Failure, Peak, RandomModel,
    device::{Backend, Precision},
};
use conceptrol_core::{
    AttentionPlan, AttentionSites, BatchLayout, Concept, ReferenceTokens, Session, SiteKind,
    SiteSelector, StepInfo,
    models::weights::{Checkpoint, Files, Weights},
    processors::{IpAdapterLayer, IpProjection},
};
use conceptrol_sd::{config::UNetConfig, unet::UNet2DConditionModel};

/// The concept's words in the text window, as the script tells the authors' processors.
const WORDS: std::ops::Range<usize> = 3..5;

#[derive(Debug, Parser)]
struct Arguments {
    /// What the script has written.
    folder: PathBuf,
    /// Type to compute in.
    dtype: Precision,
    /// Load the UNet, and take no step.
    only: Option<Only>,
    /// Backend to run on.
    #[arg(long, default_value = "flex")]
    backend: Backend,
    /// What cargo says to a benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Only {
    Load,
    Map,
}

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let (folder, opened) = (arguments.folder.as_path(), arguments.backend.open()?);
    let (device, dtype) = (opened.device().clone(), opened.float(arguments.dtype)?);
    let (start, peak) = (Instant::now(), Peak::start());
    let mapped = arguments.only == Some(Only::Map);
    let unet = load(folder, mapped, &device, dtype)?;
    if arguments.only.is_some() {
        let mut sum = Sum(0.0);
        unet.visit(&mut sum);
        let seconds = start.elapsed().as_secs_f64();
        println!("{seconds} {} {}", peak.total().unwrap_or(0), sum.0);
        return Ok(());
    }
    let inputs = Inputs::open(folder, &device, dtype)?;
    let sites = unet.attention_sites();
    let adapter = adapter(folder, &sites, &device, dtype)?;
    let mut sessions = BTreeMap::new();
    for (name, plan) in plans(&sites, &adapter, &device)? {
        let tokens = ReferenceTokens::new(inputs.image(1), inputs.image(0));
        let concept = Concept::new("concept", [vec![WORDS]]).reference(tokens);
        sessions.insert(
            name,
            Session::new(&plan, BatchLayout::guided(1), [concept])?,
        );
    }
    println!("ready");
    for (index, request) in io::stdin().lock().lines().enumerate() {
        let (request, peak, start) = (request?, Peak::start(), Instant::now());
        let session = sessions.get_mut(request.as_str());
        let session = session.ok_or_else(|| format!("no plan {request}"))?;
        session.begin_step(StepInfo::new(index, usize::MAX, 500.0));
        let output = inputs.step(&unet, session)?;
        let seconds = start.elapsed().as_secs_f64();
        println!("{seconds} {} {output}", peak.total().unwrap_or(0));
        io::stdout().flush()?;
    }
    Ok(())
}

fn load(
    folder: &Path,
    mapped: bool,
    device: &Device,
    dtype: FloatDType,
) -> Result<UNet2DConditionModel, Failure> {
    let folder = folder.join("unet");
    let config = UNetConfig::from_file(folder.join("config.json"))?;
    let files = if mapped {
        Files::Mapped(map)
    } else {
        Files::Read
    };
    let checkpoint = Checkpoint::open_as(folder, files)?;
    let weights = Weights::from_checkpoint(checkpoint, device, dtype);
    let unet = UNet2DConditionModel::new(&config, &weights);
    weights.finish()?;
    Ok(unet)
}

fn map(path: &Path) -> io::Result<Bytes> {
    let file = File::open(path)?;
    // SAFETY: the script that wrote this file waits for our answer and leaves the file alone meanwhile
    let map = unsafe { memmap2::Mmap::map(&file)? };
    Ok(Bytes::from_owner(map))
}

/// The sum of all weights: every page of them is read.
struct Sum(f64);

impl ModuleVisitor for Sum {
    fn visit_float<const D: usize>(&mut self, weight: &Param<Tensor<D>>) {
        self.0 += f64::from(weight.val().sum().into_scalar::<f32>());
    }
}

/// What a step takes: latents, text and image tokens of the unconditional and the conditional row.
struct Inputs {
    latents: Tensor<4>,
    text: Tensor<3>,
    image: Tensor<3>,
}

impl Inputs {
    fn open(folder: &Path, device: &Device, dtype: FloatDType) -> Result<Self, Failure> {
        let file = Checkpoint::open(folder.join("inputs.safetensors"))?;
        Ok(Self {
            latents: read(&file, "latents", device, dtype)?,
            text: read(&file, "text", device, dtype)?,
            image: read(&file, "image", device, dtype)?,
        })
    }

    fn image(&self, row: usize) -> Tensor<3> {
        self.image.clone().narrow(0, row, 1)
    }

    /// One evaluation; its mean absolute output.
    fn step(&self, unet: &UNet2DConditionModel, session: &mut Session) -> Result<f64, Failure> {
        let (latents, text) = (self.latents.clone(), self.text.clone());
        let out = unet.forward(latents, 500.0, text, None, session)?;
        let out = out.cast(FloatDType::F32).into_data().try_to_vec::<f32>();
        let out = out.map_err(|error| format!("{error:?}"))?;
        Ok(out.iter().map(|x| f64::from(x.abs())).sum::<f64>() / out.len() as f64)
    }
}

fn read<const D: usize>(
    file: &Checkpoint,
    name: &str,
    device: &Device,
    dtype: FloatDType,
) -> Result<Tensor<D>, Failure> {
    let tensor = file.load(name, device, dtype)?;
    tensor.ok_or_else(|| format!("{} has no {name}", file.path().display()).into())
}

fn adapter(
    folder: &Path,
    sites: &AttentionSites,
    device: &Device,
    dtype: FloatDType,
) -> Result<IpAdapterLayer, Failure> {
    let file = Checkpoint::open(folder.join("adapter.safetensors"))?;
    let mut projections = Vec::new();
    for site in sites
        .iter()
        .filter(|site| site.kind == SiteKind::CrossAttention)
    {
        let projection = IpProjection::new(
            read(&file, &format!("{}.to_k_ip", site.name), device, dtype)?,
            read(&file, &format!("{}.to_v_ip", site.name), device, dtype)?,
        );
        projections.push((site.name.clone(), projection));
    }
    Ok(IpAdapterLayer::new(projections))
}

fn plans(
    sites: &AttentionSites,
    adapter: &IpAdapterLayer,
    device: &Device,
) -> Result<[(&'static str, AttentionPlan); 3], Failure> {
    let plain = AttentionPlan::builder(sites).layer(SiteSelector::cross(), adapter.clone());
    Ok([
        ("text", AttentionPlan::plain(sites)),
        ("adapter", plain.build()?),
        (
            "conceptrol",
            RandomModel::sd15(device).conceptrol(sites, adapter)?,
        ),
    ])
}
