use std::path::{Path, PathBuf};

use burn::tensor::FloatDType;
use clap::ValueEnum;
use conceptrol_core::{
    AttentionPlan, AttentionSites, SiteSelector,
    mask::ConceptBlock,
    models::weights::{TensorInfo, Weights},
    processors::{ConceptrolLayer, IpAdapterLayer},
};
use conceptrol_sd::{
    adapter::{AdapterKind, IpAdapterWeights, ResamplerConfig},
    config::{ControlNetConfig, UNetConfig},
    controlnet::ControlNetModel,
    unet::UNet2DConditionModel,
};

use crate::{Failure, Place, scratch::write_random};

/// Image tokens of an IP-Adapter plus.
pub(crate) const IMAGE_TOKENS: usize = 16;

/// A model of Stable Diffusion with random weights.
#[derive(Debug)]
pub struct RandomModel {
    /// What people call it.
    pub name: &'static str,
    /// Its UNet.
    pub config: UNetConfig,
    block: ConceptBlock,
    /// Where its weights lie, and in which type.
    pub place: Place,
    resampler: [usize; 2], // width, heads
    folder: Option<PathBuf>,
}

/// A published size of Stable Diffusion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Size {
    /// Stable Diffusion 1.5.
    Sd15,
    /// SDXL.
    Sdxl,
}

/// A UNet with the blocks of Stable Diffusion 1.5, a fifth as wide.
const SMALL: &str = r#"{
    "attention_head_dim": 8, "block_out_channels": [64, 128, 256, 256], "cross_attention_dim": 128, "layers_per_block": 2,
    "sample_size": 16,
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"]
}"#;

impl RandomModel {
    /// A model of a published size.
    pub fn new(size: Size, place: impl Into<Place>) -> Self {
        match size {
            Size::Sd15 => Self::sd15(place),
            Size::Sdxl => Self::sdxl(place),
        }
    }

    /// Stable Diffusion 1.5.
    pub fn sd15(place: impl Into<Place>) -> Self {
        Self {
            name: "SD1.5",
            config: UNetConfig::sd15(),
            block: ConceptBlock::sd15(),
            place: place.into(),
            resampler: [768, 12],
            folder: None,
        }
    }

    /// SDXL.
    pub fn sdxl(place: impl Into<Place>) -> Self {
        Self {
            name: "SDXL",
            config: UNetConfig::sdxl(),
            block: ConceptBlock::sdxl(),
            place: place.into(),
            resampler: [1280, 20],
            folder: None,
        }
    }

    /// A small model with the blocks of Stable Diffusion 1.5.
    ///
    /// # Panics
    ///
    /// Never: its configuration is valid.
    pub fn small(place: impl Into<Place>) -> Self {
        Self {
            name: "small",
            config: UNetConfig::from_json(SMALL).expect("a configuration"),
            block: ConceptBlock::sd15(),
            place: place.into(),
            resampler: [128, 2],
            folder: None,
        }
    }

    /// Reads the weights from f16 files in `folder`, written where they are missing, instead of drawing them.
    pub fn in_files(self, folder: &Path) -> Self {
        Self {
            folder: Some(folder.to_owned()),
            ..self
        }
    }

    /// The UNet's tensors.
    ///
    /// # Errors
    ///
    /// None that a published configuration causes.
    pub fn unet_tensors(&self) -> Result<Vec<TensorInfo>, Failure> {
        let names = Weights::names(&self.place.device);
        let _ = UNet2DConditionModel::new(&self.config, &names);
        Ok(names.finish()?)
    }

    /// The UNet.
    ///
    /// # Errors
    ///
    /// If a file cannot be written or read.
    pub fn unet(&self) -> Result<UNet2DConditionModel, Failure> {
        let weights = self.weights("unet", self.place.dtype, || self.unet_tensors())?;
        let unet = UNet2DConditionModel::new(&self.config, &weights);
        weights.finish()?;
        Ok(unet)
    }

    /// A `ControlNet` for the UNet.
    ///
    /// # Errors
    ///
    /// If a file cannot be written or read.
    pub fn controlnet(&self) -> Result<ControlNetModel, Failure> {
        let config = ControlNetConfig::for_unet(self.config.clone());
        let tensors = || {
            let names = Weights::names(&self.place.device);
            let _ = ControlNetModel::new(&config, &names);
            Ok(names.finish()?)
        };
        let weights = self.weights("controlnet", self.place.dtype, tensors)?;
        let net = ControlNetModel::new(&config, &weights);
        weights.finish()?;
        Ok(net)
    }

    /// The tensors of an IP-Adapter plus.
    ///
    /// # Errors
    ///
    /// None that a published configuration causes.
    pub fn adapter_tensors(&self, sites: &AttentionSites) -> Result<Vec<TensorInfo>, Failure> {
        let names = Weights::names(&self.place.device);
        let _ = IpAdapterWeights::new(self.adapter_kind(), sites, &names);
        Ok(names.finish()?)
    }

    /// An IP-Adapter plus, its image keys and values in f16 as published files have them, where the device has that type; not its projection to image tokens,
    /// which is not needed while denoising.
    ///
    /// # Errors
    ///
    /// If a file cannot be written or read.
    pub fn adapter(&self, sites: &AttentionSites) -> Result<IpAdapterLayer, Failure> {
        let tensors = || self.adapter_tensors(sites);
        let stored = match self.place.device.supports_dtype(FloatDType::F16) {
            true => FloatDType::F16,
            false => self.place.dtype,
        };
        let weights = self.weights("ip-adapter-plus", stored, tensors)?;
        let adapter = IpAdapterWeights::new(self.adapter_kind(), sites, &weights);
        weights.finish()?;
        Ok(adapter.layer())
    }

    /// The adapter with Conceptrol above it.
    ///
    /// # Errors
    ///
    /// None that a published configuration causes.
    pub fn conceptrol(
        &self,
        sites: &AttentionSites,
        adapter: &IpAdapterLayer,
    ) -> Result<AttentionPlan, Failure> {
        let everywhere = SiteSelector::cross;
        Ok(AttentionPlan::builder(sites)
            .layer(everywhere(), ConceptrolLayer::new(self.block.clone()))
            .layer(everywhere(), adapter.clone())
            .build()?)
    }

    fn adapter_kind(&self) -> AdapterKind {
        let [dim, heads] = self.resampler;
        AdapterKind::Plus(ResamplerConfig {
            dim,
            depth: 4,
            heads,
            queries: IMAGE_TOKENS,
            embedding_dim: 1280,
            output_dim: self.config.context_dim,
            inner_dim: 4 * dim,
        })
    }

    /// Random weights, drawn as they are taken or read from a file.
    fn weights(
        &self,
        part: &str,
        drawn_as: FloatDType,
        tensors: impl FnOnce() -> Result<Vec<TensorInfo>, Failure>,
    ) -> Result<Weights, Failure> {
        let device = &self.place.device;
        let Some(folder) = &self.folder else {
            return Ok(Weights::random(0, device, drawn_as));
        };
        let path = folder.join(format!("{}-{part}.safetensors", self.name));
        write_random(&path, &tensors()?)?;
        Ok(Weights::open(path, device, self.place.dtype)?)
    }
}
