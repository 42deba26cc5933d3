//! Our half of `peers/openvino_models.py`: whole models on the weights and inputs the script wrote.
//!
//! `model_peer FOLDER f32|bf16` finds `unet/`, `vae/` or a transformer of FLUX in `FOLDER`, says `ready`, and answers each line of the standard
//! input, a plan of a UNet (`text`, `adapter`, `conceptrol`) or `run`, with `SECONDS PEAK_BYTES` and the output in `FOLDER/output.bin`,
//! little-endian f32.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead, Write},
    path::PathBuf,
    time::Instant,
};

use burn::tensor::{Device, FloatDType, Tensor};
use conceptrol_benches::{Failure, FluxInputs, Peak, RandomModel};
use conceptrol_core::{
    AttentionPlan, AttentionSites, BatchLayout, Concept, ReferenceTokens, Session, SiteKind,
    SiteSelector, StepInfo,
    models::{
        autoencoder_kl::{AutoencoderKl, AutoencoderKlConfig},
        weights::{Checkpoint, Weights},
    },
    pipeline::Residency,
    processors::{IpAdapterLayer, IpProjection},
};
use conceptrol_flux::{
    FluxConfig, attention_sites, load::load_transformer, mmdit::FluxTransformer,
};
use conceptrol_sd::{
    config::UNetConfig,
    unet::{AddedConditions, UNet2DConditionModel},
};

/// The concept's words in the text window.
const WORDS: std::ops::Range<usize> = 3..5;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let [folder, dtype] = &arguments[..] else {
        println!("model_peer is driven by peers/openvino_models.py");
        return Ok(());
    };
    let folder = Folder {
        path: folder.into(),
        device: Device::flex(),
        dtype: match dtype.as_str() {
            "f32" => FloatDType::F32,
            "bf16" => FloatDType::BF16,
            other => return Err(format!("unknown type {other}").into()),
        },
    };
    let mut model = folder.model()?;
    println!("ready");
    for request in io::stdin().lock().lines() {
        let (request, peak, start) = (request?, Peak::start(), Instant::now());
        let output = model.run(&request)?;
        let seconds = start.elapsed().as_secs_f64();
        let bytes: Vec<u8> = output.into_iter().flat_map(f32::to_le_bytes).collect();
        fs::write(folder.path.join("output.bin"), bytes)?;
        println!("{seconds} {}", peak.total().unwrap_or(0));
        io::stdout().flush()?;
    }
    Ok(())
}

/// A model with its inputs.
trait Model {
    /// One evaluation.
    fn run(&mut self, request: &str) -> Result<Vec<f32>, Failure>;
}

/// What the script wrote.
struct Folder {
    path: PathBuf,
    device: Device,
    dtype: FloatDType,
}

impl Folder {
    fn model(&self) -> Result<Box<dyn Model>, Failure> {
        let inputs = Checkpoint::open(self.path.join("inputs.safetensors"))?;
        if self.path.join("unet").is_dir() {
            Ok(Box::new(Unet::new(self, &inputs)?))
        } else if self.path.join("vae").is_dir() {
            Ok(Box::new(Vae::new(self, &inputs)?))
        } else {
            Ok(Box::new(Flux::new(self, &inputs)?))
        }
    }

    fn weights(&self, part: &str) -> Result<Weights, Failure> {
        let path = self.path.join(part);
        let path = path.join("diffusion_pytorch_model.safetensors");
        Ok(Weights::open(path, &self.device, self.dtype)?)
    }

    fn read<const D: usize>(&self, file: &Checkpoint, name: &str) -> Result<Tensor<D>, Failure> {
        let tensor = file.load(name, &self.device, self.dtype)?;
        tensor.ok_or_else(|| format!("{} has no {name}", file.path().display()).into())
    }
}

fn numbers<const D: usize>(output: Tensor<D>) -> Result<Vec<f32>, Failure> {
    let output = output.cast(FloatDType::F32).into_data();
    output.try_to_vec().map_err(|e| format!("{e:?}").into())
}

struct Unet {
    unet: UNet2DConditionModel,
    sessions: BTreeMap<&'static str, Session>,
    latents: Tensor<4>,
    text: Tensor<3>,
    added: Option<AddedConditions>,
    steps: usize,
}

impl Unet {
    fn new(folder: &Folder, inputs: &Checkpoint) -> Result<Self, Failure> {
        let config = UNetConfig::from_file(folder.path.join("unet").join("config.json"))?;
        let weights = folder.weights("unet")?;
        let unet = UNet2DConditionModel::new(&config, &weights);
        weights.finish()?;
        let sites = unet.attention_sites();
        let image = folder.read::<3>(inputs, "image")?;
        let row = |row| image.clone().narrow(0, row, 1);
        let mut sessions = BTreeMap::new();
        for (name, plan) in plans(folder, &config, &sites)? {
            let tokens = ReferenceTokens::new(row(1), row(0));
            let concept = Concept::new("concept", [vec![WORDS]]).reference(tokens);
            let session = Session::new(&plan, BatchLayout::guided(1), [concept])?;
            sessions.insert(name, session);
        }
        let latents = folder.read::<4>(inputs, "latents")?;
        let edge = 8.0 * latents.dims()[2] as f32; // pixels
        let added = match config.added {
            None => None,
            Some(_) => Some(AddedConditions {
                text_embeds: folder.read(inputs, "pooled")?,
                time_ids: vec![vec![edge, edge, 0.0, 0.0, edge, edge]; 2],
            }),
        };
        Ok(Self {
            text: folder.read(inputs, "text")?,
            unet,
            sessions,
            latents,
            added,
            steps: 0,
        })
    }
}

impl Model for Unet {
    fn run(&mut self, request: &str) -> Result<Vec<f32>, Failure> {
        let session = self.sessions.get_mut(request);
        let session = session.ok_or_else(|| format!("no plan {request}"))?;
        session.begin_step(StepInfo::new(self.steps, usize::MAX, 500.0));
        self.steps += 1;
        let (latents, text) = (self.latents.clone(), self.text.clone());
        let output = (self.unet).forward(latents, 500.0, text, self.added.clone(), session)?;
        numbers(output)
    }
}

fn plans(
    folder: &Folder,
    config: &UNetConfig,
    sites: &AttentionSites,
) -> Result<[(&'static str, AttentionPlan); 3], Failure> {
    let adapter = adapter(folder, sites)?;
    let plain = AttentionPlan::builder(sites).layer(SiteSelector::cross(), adapter.clone());
    let model = match config.added {
        None => RandomModel::sd15(&Device::flex()),
        Some(_) => RandomModel::sdxl(&Device::flex()),
    };
    Ok([
        ("text", AttentionPlan::plain(sites)),
        ("adapter", plain.build()?),
        ("conceptrol", model.conceptrol(sites, &adapter)?),
    ])
}

fn adapter(folder: &Folder, sites: &AttentionSites) -> Result<IpAdapterLayer, Failure> {
    let file = Checkpoint::open(folder.path.join("adapter.safetensors"))?;
    let crossed = (sites.iter()).filter(|site| site.kind == SiteKind::CrossAttention);
    let mut projections = Vec::new();
    for site in crossed {
        let part = |part| folder.read(&file, &format!("{}.{part}", site.name));
        let projection = IpProjection::new(part("to_k_ip")?, part("to_v_ip")?);
        projections.push((site.name.clone(), projection));
    }
    Ok(IpAdapterLayer::new(projections))
}

struct Vae {
    vae: AutoencoderKl,
    latents: Tensor<4>,
}

impl Vae {
    fn new(folder: &Folder, inputs: &Checkpoint) -> Result<Self, Failure> {
        let config = fs::read_to_string(folder.path.join("vae").join("config.json"))?;
        let weights = folder.weights("vae")?;
        let vae = AutoencoderKl::new(&AutoencoderKlConfig::from_json(&config)?, &weights);
        weights.finish()?;
        Ok(Self {
            vae,
            latents: folder.read(inputs, "latents")?,
        })
    }
}

impl Model for Vae {
    fn run(&mut self, _: &str) -> Result<Vec<f32>, Failure> {
        numbers(self.vae.decode(self.latents.clone(), None)?)
    }
}

struct Flux {
    model: FluxTransformer,
    latents: Tensor<3>,
    text: Tensor<3>,
    pooled: Tensor<2>,
}

impl Flux {
    fn new(folder: &Folder, inputs: &Checkpoint) -> Result<Self, Failure> {
        let config = FluxConfig::from_file(folder.path.join("config.json"))?;
        Ok(Self {
            model: load_transformer(&config, folder.weights("")?, Residency::Memory)?,
            latents: folder.read(inputs, "hidden_states")?,
            text: folder.read(inputs, "encoder_hidden_states")?,
            pooled: folder.read(inputs, "pooled_projections")?,
        })
    }
}

impl Model for Flux {
    fn run(&mut self, _: &str) -> Result<Vec<f32>, Failure> {
        let config = self.model.config();
        let (latents, text) = (self.latents.clone(), self.text.clone());
        let inputs = FluxInputs::of(config, latents, None, text, self.pooled.clone());
        let plan = AttentionPlan::plain(&attention_sites(config));
        let mut session = Session::new(&plan, BatchLayout::unguided(1), [])?;
        numbers(inputs.run(&self.model, &mut session)?)
    }
}
