//! Opening a diffusers folder with its adapters.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use burn::tensor::{Device, FloatDType};
use conceptrol_core::{
    AttentionSites,
    mask::ConceptBlock,
    models::{
        autoencoder_kl::{AutoencoderKl, AutoencoderKlConfig},
        weights::{Checkpoint, Files, WeightError, Weights},
    },
};

use crate::{
    adapter::{AdapterKind, IpAdapterWeights},
    config::UNetConfig,
    family::{Family, read_concept_block, read_model_index},
    pipeline::PipelineError,
    sites::attention_sites,
    slot::Slot,
    text::TextEncoders,
    unet::UNet2DConditionModel,
};

use conceptrol_core::models::{
    clip_vision::{ClipVisionConfig, ClipVisionModel},
    scheduler::SchedulerConfig,
};

/// How a pipeline is loaded.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LoadOptions {
    /// Where it runs.
    pub device: Device,
    /// The type it computes in.
    pub dtype: FloatDType,
    /// Whether components stay in memory between uses. Without, text encoders are dropped before
    /// the UNet is loaded, and it before the autoencoder.
    pub keep: bool,
    /// IP-Adapters, in the order concepts name them.
    pub adapters: Vec<AdapterFiles>,
    /// How files of weights get into memory.
    pub files: Files,
}

/// The files of an IP-Adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterFiles {
    /// `ip-adapter_*.safetensors` or `.bin`.
    pub weights: PathBuf,
    /// Folder of the image encoder it was trained with.
    pub image_encoder: PathBuf,
}

impl LoadOptions {
    /// Everything kept, in f32, without adapters.
    pub const fn new(device: Device) -> Self {
        Self {
            device,
            dtype: FloatDType::F32,
            keep: true,
            adapters: Vec::new(),
            files: Files::Read,
        }
    }

    /// Sets the type to compute in.
    pub const fn dtype(mut self, dtype: FloatDType) -> Self {
        self.dtype = dtype;
        self
    }

    /// Drops every component after use, for machines that cannot hold all of them.
    pub const fn low_memory(mut self) -> Self {
        self.keep = false;
        self
    }

    /// Sets how files of weights get into memory.
    pub const fn files(mut self, files: Files) -> Self {
        self.files = files;
        self
    }

    /// Opens weights to be computed with in `dtype`.
    pub(crate) fn weights(&self, path: &Path, dtype: FloatDType) -> Result<Weights, WeightError> {
        let checkpoint = Checkpoint::open_as(path, self.files)?;
        Ok(Weights::from_checkpoint(checkpoint, &self.device, dtype))
    }

    /// Adds an adapter.
    pub fn adapter(
        mut self,
        weights: impl Into<PathBuf>,
        image_encoder: impl Into<PathBuf>,
    ) -> Self {
        self.adapters.push(AdapterFiles {
            weights: weights.into(),
            image_encoder: image_encoder.into(),
        });
        self
    }
}

/// A Stable Diffusion 1.x or XL pipeline. Shared by threads: a generation takes `&self`.
///
/// Opening reads configurations only; weights are loaded when they are first needed.
#[derive(Debug)]
pub struct StableDiffusion {
    folder: PathBuf,
    options: LoadOptions,
    unet_config: UNetConfig,
    vae_config: AutoencoderKlConfig,
    scheduler: SchedulerConfig,
    sites: AttentionSites,
    concept_block: Option<ConceptBlock>,
    pub(crate) force_zeros: bool,
    text: Slot<TextEncoders>,
    unet: Slot<UNet2DConditionModel>,
    vae: Slot<AutoencoderKl>,
    adapters: Vec<Slot<IpAdapterWeights>>,
    image_encoders: Vec<Slot<ClipVisionModel>>,
}

impl StableDiffusion {
    /// Opens a diffusers folder.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] for a folder of another family, or with missing or malformed
    /// configurations.
    pub fn open(folder: impl AsRef<Path>, options: LoadOptions) -> Result<Self, PipelineError> {
        let folder = folder.as_ref();
        let index = read_model_index(folder)?;
        if !matches!(
            index.class_name.as_str(),
            "StableDiffusionPipeline" | "StableDiffusionXLPipeline"
        ) {
            return Err(PipelineError::WrongFamily {
                path: folder.to_owned(),
                class_name: index.class_name,
            });
        }
        let path = folder.join("unet/config.json");
        let unet_config = UNetConfig::from_file(&path)
            .map_err(|source| PipelineError::UNetConfig { path, source })?;
        let sites = attention_sites(&unet_config);
        let adapters = options.adapters.len();
        let keep = options.keep;
        Ok(Self {
            concept_block: read_concept_block(folder)?
                .or_else(|| Family::of(&sites).concept_block()),
            vae_config: AutoencoderKlConfig::from_file(folder.join("vae/config.json"))?,
            scheduler: SchedulerConfig::open(&folder.join("scheduler/scheduler_config.json"))?,
            force_zeros: index.force_zeros_for_empty_prompt,
            folder: folder.to_owned(),
            options,
            unet_config,
            sites,
            text: Slot::new(keep),
            unet: Slot::new(keep),
            vae: Slot::new(keep),
            adapters: (0..adapters).map(|_| Slot::new(keep)).collect(),
            image_encoders: (0..adapters).map(|_| Slot::new(keep)).collect(),
        })
    }

    /// The attention sites of the UNet, to build plans for.
    pub const fn attention_sites(&self) -> &AttentionSites {
        &self.sites
    }

    /// The family of the UNet.
    pub fn family(&self) -> Family {
        Family::of(&self.sites)
    }

    /// Where the model's concept masks are read, as its folder or its family says.
    pub const fn concept_block(&self) -> Option<&ConceptBlock> {
        self.concept_block.as_ref()
    }

    /// The checkpoint's own scheduler.
    pub const fn scheduler(&self) -> &SchedulerConfig {
        &self.scheduler
    }

    /// The UNet's configuration.
    pub const fn unet_config(&self) -> &UNetConfig {
        &self.unet_config
    }

    /// The autoencoder's configuration.
    pub const fn vae_config(&self) -> &AutoencoderKlConfig {
        &self.vae_config
    }

    /// Where it runs.
    pub const fn device(&self) -> &Device {
        &self.options.device
    }

    /// The type it computes in.
    pub const fn dtype(&self) -> FloatDType {
        self.options.dtype
    }

    /// Number of adapters it was opened with.
    pub const fn adapter_count(&self) -> usize {
        self.options.adapters.len()
    }

    /// Width and height of a picture when a request names none, in pixels.
    pub fn default_size(&self) -> (usize, usize) {
        let [height, width] = self.unet_config.sample_size.unwrap_or([64, 64]);
        let factor = self.vae_config.downscale();
        (width * factor, height * factor)
    }

    /// The text encoders.
    ///
    /// # Errors
    ///
    /// Those of loading them.
    pub fn text_encoders(&self) -> Result<Arc<TextEncoders>, PipelineError> {
        self.text
            .get(|| TextEncoders::load(&self.folder, &self.options))
    }

    /// The UNet.
    ///
    /// # Errors
    ///
    /// Those of loading it.
    pub fn unet(&self) -> Result<Arc<UNet2DConditionModel>, PipelineError> {
        self.unet.get(|| {
            let weights = self
                .options
                .weights(&self.folder.join("unet"), self.dtype())?;
            let unet = UNet2DConditionModel::new(&self.unet_config, &weights);
            weights.finish()?;
            Ok(unet)
        })
    }

    /// The autoencoder; in f32 where the checkpoint says that half precision overflows.
    ///
    /// # Errors
    ///
    /// Those of loading it.
    pub fn vae(&self) -> Result<Arc<AutoencoderKl>, PipelineError> {
        self.vae.get(|| {
            let dtype = self.vae_config.compute_dtype(self.dtype());
            let weights = self.options.weights(&self.folder.join("vae"), dtype)?;
            let vae = AutoencoderKl::new(&self.vae_config, &weights);
            weights.finish()?;
            Ok(vae)
        })
    }

    /// The weights of an adapter.
    ///
    /// # Errors
    ///
    /// Those of loading it; an adapter of another family is refused by its sizes.
    ///
    /// # Panics
    ///
    /// Panics if `index` is not below [`adapter_count`](Self::adapter_count).
    pub fn adapter(&self, index: usize) -> Result<Arc<IpAdapterWeights>, PipelineError> {
        self.adapters[index].get(|| {
            let path = &self.options.adapters[index].weights;
            let context = self.unet_config.context_dim;
            let checkpoint = Checkpoint::open_as(path, self.options.files)?;
            Ok(IpAdapterWeights::from_checkpoint(
                checkpoint,
                &self.sites,
                context,
                self.device(),
                self.dtype(),
            )?)
        })
    }

    /// The image encoder of an adapter.
    ///
    /// # Errors
    ///
    /// Those of loading it, and an encoder the adapter was not trained with.
    ///
    /// # Panics
    ///
    /// Panics if `index` is not below [`adapter_count`](Self::adapter_count).
    pub fn image_encoder(
        &self,
        index: usize,
        adapter: &AdapterKind,
    ) -> Result<Arc<ClipVisionModel>, PipelineError> {
        self.image_encoders[index].get(|| {
            let folder = &self.options.adapters[index].image_encoder;
            let config = ClipVisionConfig::from_file(folder.join("config.json"))?;
            adapter.check_encoder(&config)?;
            let weights = self.options.weights(folder, self.dtype())?;
            let encoder = ClipVisionModel::new(&config, &weights);
            weights.finish()?;
            Ok(encoder)
        })
    }
}
