use std::path::{Path, PathBuf};

use burn::tensor::{Device, FloatDType};
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

use crate::{Failure, scratch::write_random};

/// Image tokens of an IP-Adapter plus.
pub(crate) const IMAGE_TOKENS: usize = 16;

/// A model of Stable Diffusion in its published size, with random weights.
#[derive(Debug)]
pub struct RandomModel {
    /// What people call it.
    pub name: &'static str,
    /// Its UNet.
    pub config: UNetConfig,
    block: ConceptBlock,
    resampler: [usize; 2], // width, heads
    folder: Option<PathBuf>,
}

impl RandomModel {
    /// Stable Diffusion 1.5.
    pub fn sd15() -> Self {
        Self {
            name: "SD1.5",
            config: UNetConfig::sd15(),
            block: ConceptBlock::sd15(),
            resampler: [768, 12],
            folder: None,
        }
    }

    /// SDXL.
    pub fn sdxl() -> Self {
        Self {
            name: "SDXL",
            config: UNetConfig::sdxl(),
            block: ConceptBlock::sdxl(),
            resampler: [1280, 20],
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
        let names = Weights::names(&Device::flex());
        let _ = UNet2DConditionModel::new(&self.config, &names);
        Ok(names.finish()?)
    }

    /// The UNet, in f32.
    ///
    /// # Errors
    ///
    /// If a file cannot be written or read.
    pub fn unet(&self) -> Result<UNet2DConditionModel, Failure> {
        let weights = self.weights("unet", FloatDType::F32, || self.unet_tensors())?;
        let unet = UNet2DConditionModel::new(&self.config, &weights);
        weights.finish()?;
        Ok(unet)
    }

    /// A `ControlNet` for the UNet, in f32.
    ///
    /// # Errors
    ///
    /// If a file cannot be written or read.
    pub fn controlnet(&self) -> Result<ControlNetModel, Failure> {
        let config = ControlNetConfig::for_unet(self.config.clone());
        let tensors = || {
            let names = Weights::names(&Device::flex());
            let _ = ControlNetModel::new(&config, &names);
            Ok(names.finish()?)
        };
        let weights = self.weights("controlnet", FloatDType::F32, tensors)?;
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
        let names = Weights::names(&Device::flex());
        let _ = IpAdapterWeights::new(self.adapter_kind(), sites, &names);
        Ok(names.finish()?)
    }

    /// An IP-Adapter plus, its image keys and values in f16 as published files have them; not its projection to image tokens,
    /// which is not needed while denoising.
    ///
    /// # Errors
    ///
    /// If a file cannot be written or read.
    pub fn adapter(&self, sites: &AttentionSites) -> Result<IpAdapterLayer, Failure> {
        let tensors = || self.adapter_tensors(sites);
        let weights = self.weights("ip-adapter-plus", FloatDType::F16, tensors)?;
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
        let device = Device::flex();
        let Some(folder) = &self.folder else {
            return Ok(Weights::random(0, &device, drawn_as));
        };
        let path = folder.join(format!("{}-{part}.safetensors", self.name));
        write_random(&path, &tensors()?)?;
        Ok(Weights::open(path, &device, FloatDType::F32)?)
    }
}
