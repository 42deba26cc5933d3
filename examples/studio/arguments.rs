//! The command line.

use std::{
    error::Error,
    net::IpAddr,
    path::{Path, PathBuf},
};

use clap::{Args, Parser};
use conceptrol_core::pipeline::{LoadOptions, Residency};
use conceptrol_examples::{
    device::{Backend, Precision},
    model::PartArguments,
};

use crate::server::{Catalogue, EMBEDDED, Picture, Shared};

/// Serve a page that personalises pictures.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub(crate) struct Arguments {
    /// A diffusers folder, a single file of Stable Diffusion 1.x or XL, or owner/name[@revision] on the Hugging Face hub. It is
    /// the one that is chosen at first; the embedded model can be chosen as well.
    #[arg(long, value_name = "DIR|FILE|NAME")]
    pub(crate) model: Option<PathBuf>,
    /// The adapter of that model: an IP-Adapter, or `OminiControl`'s `LoRA`.
    #[arg(long, value_name = "FILE", requires = "model")]
    pub(crate) adapter: Option<PathBuf>,
    /// Folder of the image encoder that the adapter was trained with [default: `image_encoder` beside the adapter, or in the model].
    #[arg(long, value_name = "DIR", requires = "adapter")]
    pub(crate) image_encoder: Option<PathBuf>,
    /// A folder whose models and adapters can be chosen on the page. Nothing else on this machine can.
    #[arg(long = "models", value_name = "DIR")]
    pub(crate) folders: Vec<PathBuf>,
    /// Models of the Hugging Face hub can be named on the page, and are fetched to this machine.
    #[arg(long)]
    pub(crate) hub: bool,
    /// The address to listen on. Any other than a loopback address lets other machines generate on this one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) listen: IpAddr,
    /// The port; any that is free at 0.
    #[arg(long, default_value_t = 7860)]
    pub(crate) port: u16,
    /// A name under which browsers reach this machine, beside `localhost` and addresses.
    #[arg(long = "name", value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Memory for finished pictures, in MiB; the least recently used ones go first.
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) keep: u16,
    #[command(flatten)]
    pub(crate) machine: Machine,
}

/// Where and how models are computed.
#[derive(Debug, Clone, Args)]
pub(crate) struct Machine {
    /// Backend to run on.
    #[arg(long, default_value = "flex")]
    backend: Backend,
    /// Type to compute in.
    #[arg(long, default_value = "f32")]
    dtype: Precision,
    /// Drop each part of the model after use, for machines with little memory.
    #[arg(long)]
    low_memory: bool,
    /// Keep the large models on disk and bring one block at a time into memory. FLUX only.
    #[arg(long, conflicts_with = "low_memory")]
    stream_weights: bool,
}

impl Machine {
    /// The CPU, in f32, with everything in memory.
    #[allow(dead_code, reason = "for tests")]
    pub(crate) const fn cpu() -> Self {
        Self {
            backend: Backend::Flex,
            dtype: Precision::F32,
            low_memory: false,
            stream_weights: false,
        }
    }

    /// How a model is loaded.
    pub(crate) fn options<X: Default>(&self) -> Result<LoadOptions<X>, Box<dyn Error>> {
        let residency = match (self.stream_weights, self.low_memory) {
            (true, _) => Residency::Disk,
            (false, true) => Residency::WhileUsed,
            (false, false) => Residency::Memory,
        };
        let options = LoadOptions::new(self.backend.device()?);
        Ok(options.dtype(self.dtype.into()).residency(residency))
    }

    /// What pictures say of it.
    pub(crate) fn entries(&self) -> [String; 2] {
        let dtype = format!("{:?}", self.dtype).to_lowercase();
        [
            format!("Type: {dtype}"),
            format!("Backend: {}", self.backend.feature()),
        ]
    }
}

impl Arguments {
    /// What the server begins with. `assets` is where the embedded model is.
    pub(crate) fn shared(&self, assets: &Path) -> Result<Shared, Box<dyn Error>> {
        let mut catalogue = Catalogue {
            hub: self.hub,
            ..Catalogue::default()
        };
        if let Some(model) = &self.model {
            let path = PartArguments::default().locate(model)?;
            let name = |path: &Path| {
                path.file_name()
                    .unwrap_or(path.as_os_str())
                    .to_string_lossy()
                    .into_owned()
            };
            let label = if model.exists() {
                name(model)
            } else {
                model.display().to_string()
            };
            let adapter = self.adapter.as_ref();
            let adapter = adapter.map(|file| {
                catalogue.add_adapter(&name(file), file, self.image_encoder.as_deref())
            });
            catalogue.add_model(&label, &path, adapter);
        }
        let embedded = assets.join("tiny-sd");
        let adapter = catalogue.add_adapter(
            "ip-adapter (embedded)",
            &embedded.join("ip-adapter.safetensors"),
            None,
        );
        catalogue.add_model(EMBEDDED, &embedded, Some(adapter));
        for folder in &self.folders {
            let failed = |error| format!("{}: {error}", folder.display());
            catalogue.add_folder(folder).map_err(failed)?;
        }
        let samples = samples(&embedded.join("references"))?;
        let keep = usize::from(self.keep) << 20;
        let mut shared = Shared::new(catalogue, samples, self.machine.clone(), keep);
        shared.names.clone_from(&self.names);
        Ok(shared)
    }
}

/// The pictures in a folder, by name.
fn samples(folder: &Path) -> Result<Vec<Picture>, Box<dyn Error>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "png"))
        .collect();
    files.sort();
    let picture = |path: PathBuf| {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let read = Picture::read(&name, std::fs::read(&path)?);
        read.map_err(|refusal| format!("{}: {}", path.display(), refusal.message()).into())
    };
    files.into_iter().map(picture).collect()
}
