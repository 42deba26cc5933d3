//! Opening a model with its adapters.

use std::{path::Path, sync::Arc};

use burn::tensor::Tensor;
use conceptrol_core::{
    SiteSelector,
    mask::ConceptBlock,
    models::{
        autoencoder_kl::{self, AutoencoderKl, AutoencoderKlConfig, Tiling},
        clip_vision::{ClipVisionConfig, ClipVisionModel},
        lora::{Deltas, LoraTargets, Part},
        textual_inversion::TextualInversion,
        weights::Checkpoint,
    },
    pipeline::{
        AdapterFiles, Footprint, Frame, ImageSize, InputKind, LoadOptions, Loras, ModelFiles,
        PipelineError, Profile, Residency, Slot, concept_block_of, decoding_bytes, product,
        size_of,
    },
};

use crate::{
    adapter::{AdapterKind, IpAdapterLayout, IpAdapterWeights},
    config::UNetConfig,
    lora::unet_target,
    pipeline::{
        Request,
        configurations::{Configurations, FAMILY, LAYOUT},
        control::Nets,
        extra::SIZES,
        input::input_of,
    },
    sites::attention_sites,
    text::{TextEncoders, TextParts},
    topology::Topology,
    unet::{self, UNet2DConditionModel},
};

/// Steps of an edit, diffusers' default.
const EDIT_STEPS: usize = 100;

/// A Stable Diffusion 1.x or XL pipeline. Shared by threads: a generation takes `&self`.
///
/// Opening reads configurations and tokenizers only; weights are loaded when they are first needed.
#[derive(Debug)]
pub struct StableDiffusion {
    files: ModelFiles,
    pub(super) options: LoadOptions,
    pub(super) profile: Profile,
    unet_config: UNetConfig,
    /// Bytes of the weights of UNet and autoencoder.
    bytes: [u64; 2],
    vae_config: AutoencoderKlConfig,
    concept_block: Option<ConceptBlock>,
    pub(super) force_zeros: bool,
    loras: Loras,
    pub(super) text_parts: TextParts,
    text: Slot<TextEncoders>,
    unet: Slot<UNet2DConditionModel>,
    vae: Slot<AutoencoderKl>,
    adapters: Vec<AdapterParts>,
    pub(super) controlnets: Nets,
}

#[derive(Debug)]
struct AdapterParts {
    files: AdapterFiles,
    weights: Slot<IpAdapterWeights>,
    image_encoder: Slot<ClipVisionModel>,
}

impl StableDiffusion {
    /// Opens a diffusers folder, or one file with the whole model: `.safetensors` or `.ckpt`, under the names of LDM. Its
    /// configuration is then that of the published model, or comes from
    /// [a folder](conceptrol_core::pipeline::LoadOptions::configurations).
    ///
    /// # Errors
    ///
    /// [`PipelineError`] for a model of another family, with missing or malformed configurations or tokenizers, or with
    /// parts that do not fit each other.
    pub fn open(path: impl AsRef<Path>, options: LoadOptions) -> Result<Self, PipelineError> {
        if options.residency == Residency::Disk {
            return Err(PipelineError::Unsupported {
                family: FAMILY,
                what: "weights that stay on disk: keep them in memory while they are used".into(),
            });
        }
        let files = ModelFiles::open(path.as_ref(), LAYOUT, &options)?;
        let parts = Configurations::read(&files)?;
        let (unet_config, vae_config) = (parts.unet, parts.vae);
        let latents = vae_config.latent_channels;
        let input = input_of(&unet_config, latents)?;
        let mut text_parts = parts.text;
        for (path, token) in &options.embeddings {
            text_parts.learn(&TextualInversion::open(path, token.as_deref())?)?;
        }
        text_parts.check(&unet_config, SIZES)?;
        let vae_dtype = vae_config.compute_dtype(options.dtype);
        let unet = unet::own_names(&unet_config, &files.headers("unet")?)?;
        let vae = autoencoder_kl::own_names(&files.headers("vae")?)?;
        let bytes = [
            options.check(unet, options.dtype, |weights| {
                UNet2DConditionModel::new(&unet_config, weights)
            })?,
            options.check(vae, vae_dtype, |weights| {
                AutoencoderKl::new(&vae_config, weights)
            })?,
        ];
        let targets = || {
            let mut targets = vec![unet_target(&unet_config, &options.device)];
            targets.extend(text_parts.lora_targets(&options.device));
            LoraTargets::new(targets)
        };
        let loras = Loras::open(&options, targets, true)?;
        let scheduler = parts.scheduler;
        let sites = attention_sites(&unet_config);
        let named = files.configuration("conceptrol.json");
        let named = named.map(|path| concept_block_of(&path, ConceptBlock::cross));
        let concept_block =
            (named.transpose()?.flatten()).or_else(|| Topology::of(&sites).concept_block());

        let device = options.device.clone();
        let cross = SiteSelector::cross();
        let mut profile = Profile::new("Stable Diffusion", sites, cross, device, scheduler);
        profile.dtype = options.dtype;
        profile.latent_channels = latents;
        profile.downscale = vae_config.downscale();
        profile.multiple = profile.downscale;
        let [height, width] = unet_config.sample_size.unwrap_or([64, 64]);
        profile.defaults.size =
            ImageSize::new(height * profile.downscale, width * profile.downscale);
        profile.input = input;
        if input == InputKind::Edit {
            profile.defaults.steps = EDIT_STEPS;
        }
        let controlnets = Nets::open(&options, &unet_config, latents, profile.downscale)?;
        let slots = |files: &AdapterFiles| AdapterParts {
            files: files.clone(),
            weights: Slot::new(options.residency),
            image_encoder: Slot::new(options.residency),
        };
        Ok(Self {
            files,
            profile,
            unet_config,
            bytes,
            vae_config,
            concept_block,
            force_zeros: parts.force_zeros,
            loras,
            text_parts,
            text: Slot::new(options.residency),
            unet: Slot::new(options.residency),
            vae: Slot::new(options.residency),
            adapters: options.adapters.iter().map(slots).collect(),
            controlnets,
            options,
        })
    }

    /// The family of the UNet.
    pub fn topology(&self) -> Topology {
        Topology::of(&self.profile.sites)
    }

    /// Where the model's concept masks are read, as its folder or its topology says.
    pub const fn concept_block(&self) -> Option<&ConceptBlock> {
        self.concept_block.as_ref()
    }

    /// The low-rank adapters.
    pub const fn loras(&self) -> &Loras {
        &self.loras
    }

    /// The UNet's configuration.
    pub const fn unet_config(&self) -> &UNetConfig {
        &self.unet_config
    }

    /// The autoencoder's configuration.
    pub const fn vae_config(&self) -> &AutoencoderKlConfig {
        &self.vae_config
    }

    /// Tokenizers and configurations of the text encoders.
    pub const fn text_parts(&self) -> &TextParts {
        &self.text_parts
    }

    /// The text encoders.
    ///
    /// # Errors
    ///
    /// Those of loading them.
    pub fn text_encoders(&self) -> Result<Arc<TextEncoders>, PipelineError> {
        self.text
            .get(|| self.load_text(|part| self.loras.merged(part)))
    }

    /// The text encoders with what the request's low-rank adapters change of them; those are merged for this request alone.
    pub(super) fn text_encoders_for(
        &self,
        request: &Request,
    ) -> Result<Arc<TextEncoders>, PipelineError> {
        let own = |part| self.loras.merged_for(&request.loras, part);
        let (first, second) = (own(Part::ClipL), own(Part::ClipG));
        if first.is_none() && second.is_none() {
            return self.text_encoders();
        }
        let own = |part| match part {
            Part::ClipG => second.clone(),
            _ => first.clone(),
        };
        let encoders =
            self.load_text(|part| own(part).unwrap_or_else(|| self.loras.merged(part)))?;
        Ok(Arc::new(encoders))
    }

    fn load_text(
        &self,
        deltas: impl Fn(Part) -> Arc<Deltas>,
    ) -> Result<TextEncoders, PipelineError> {
        self.text_parts.load(&self.files, &self.options, deltas)
    }

    /// The UNet.
    ///
    /// # Errors
    ///
    /// Those of loading it.
    pub fn unet(&self) -> Result<Arc<UNet2DConditionModel>, PipelineError> {
        self.unet.get(|| {
            let config = &self.unet_config;
            let checkpoint = unet::own_names(config, &self.files.checkpoint("unet")?)?;
            let unet = |weights: &_| UNet2DConditionModel::new(config, weights);
            let weights = self.options.weights(checkpoint, self.options.dtype);
            let deltas = self.loras.merged(Part::Denoiser);
            Ok(weights.merging(deltas).build(unet)?)
        })
    }

    /// The same pipeline with another UNet of the same configuration: one that was fine-tuned, or changed in memory.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Unsupported`] if its configuration is another.
    pub fn with_unet(mut self, unet: UNet2DConditionModel) -> Result<Self, PipelineError> {
        if unet.config() != &self.unet_config {
            return Err(PipelineError::Unsupported {
                family: "this pipeline",
                what: "UNet of another configuration".into(),
            });
        }
        self.unet = Slot::of(unet);
        Ok(self)
    }

    /// The autoencoder; in f32 where the checkpoint says that half precision overflows.
    ///
    /// # Errors
    ///
    /// Those of loading it.
    pub fn vae(&self) -> Result<Arc<AutoencoderKl>, PipelineError> {
        self.vae.get(|| {
            let dtype = self.vae_config.compute_dtype(self.options.dtype);
            let checkpoint = autoencoder_kl::own_names(&self.files.checkpoint("vae")?)?;
            let vae = |weights: &_| AutoencoderKl::new(&self.vae_config, weights);
            Ok(self.options.load(checkpoint, dtype, vae)?)
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
    /// Panics if `index` is not below [`adapters`](conceptrol_core::pipeline::Family::adapters).
    pub fn adapter(&self, index: usize) -> Result<Arc<IpAdapterWeights>, PipelineError> {
        let adapter = &self.adapters[index];
        adapter.weights.get(|| {
            let checkpoint = Checkpoint::open_as(&adapter.files.weights, self.options.files)?;
            Ok(IpAdapterWeights::from_layout(
                self.layout(&adapter.files, &checkpoint)?,
                checkpoint,
                &self.profile.sites,
                self.unet_config.context_dim,
                &self.options.device,
                self.options.dtype,
            )?)
        })
    }

    /// What an adapter's file holds, and what only its caller knows.
    fn layout(
        &self,
        files: &AdapterFiles,
        checkpoint: &Checkpoint,
    ) -> Result<IpAdapterLayout, PipelineError> {
        let mut layout = IpAdapterLayout::of(checkpoint)?;
        match (&mut layout.kind, files.face_shortcut) {
            (_, None) => {}
            (AdapterKind::Face(config), Some(shortcut)) if config.perceiver.is_some() => {
                config.shortcut = shortcut;
            }
            (_, Some(_)) => {
                return Err(PipelineError::Unsupported {
                    family: "the adapter",
                    what: "shortcut: it is no FaceID plus".into(),
                });
            }
        }
        Ok(layout)
    }

    /// The image encoder of an adapter.
    ///
    /// # Errors
    ///
    /// Those of loading it, and an encoder the adapter was not trained with.
    ///
    /// # Panics
    ///
    /// Panics if `index` is not below [`adapters`](conceptrol_core::pipeline::Family::adapters).
    pub fn image_encoder(
        &self,
        index: usize,
        kind: &AdapterKind,
    ) -> Result<Arc<ClipVisionModel>, PipelineError> {
        let adapter = &self.adapters[index];
        adapter.image_encoder.get(|| {
            let missing = || PipelineError::Unsupported {
                family: "IP-Adapter",
                what: format!(
                    "image encoder in {}: give its folder",
                    adapter.files.weights.display()
                ),
            };
            let folder = adapter.files.image_encoder.as_ref().ok_or_else(missing)?;
            let config = ClipVisionConfig::from_file(folder.join("config.json"))?;
            kind.check_encoder(&config)?;
            let encoder = |weights: &_| ClipVisionModel::new(&config, weights);
            let checkpoint = Checkpoint::open_as(folder, self.options.files)?;
            Ok(self.options.load(checkpoint, self.options.dtype, encoder)?)
        })
    }

    /// The mean of the autoencoder's posterior of pictures with values in -1..=1, as it is; in tiles of `tile` pixels if given.
    pub(super) fn posterior_mean(
        &self,
        pixels: Tensor<4>,
        tile: Option<usize>,
    ) -> Result<Tensor<4>, PipelineError> {
        let dtype = self.vae_config.compute_dtype(self.profile.dtype);
        let tiling = tile.map(Tiling::new);
        let posterior = self.vae()?.encode(pixels.cast(dtype), tiling.as_ref())?;
        Ok(posterior.mean())
    }

    /// The request's guidance scale, or the default.
    pub(super) fn guidance_scale(&self, request: &Request) -> f64 {
        let default = self.profile.defaults.guidance;
        request.guidance.scale.unwrap_or(default)
    }

    /// About what a generation needs beyond what is in memory. A step: 13 times the UNet's first level, as measured from
    /// 256 x 256 to 1024 x 1024 pixels with SD1.5 and SDXL (`docs/performance.md`).
    /// A net needs about as much as the UNet, at another time, and leaves its residuals.
    pub(super) fn footprint(&self, request: &Request, frame: &Frame) -> u64 {
        let [_, height, width] = frame.latent_shape.map(|length| length as u64);
        let [unet, vae] = self.bytes;
        let dtype = self.options.dtype;
        let channels = self.unet_config.time.sinusoid_dim as u64;
        let rows = frame.batch.rows() as u64;
        let vae_dtype = self.vae_config.compute_dtype(dtype);
        let nets = self.controlnets.unloaded(request);
        let unet = if self.unet.is_loaded() { 0 } else { unet };
        let tile = request.vae_tile;
        let need = Footprint {
            denoiser: unet.saturating_add(nets),
            denoising: product([13, rows, height, width, channels, size_of(dtype)]),
            autoencoder: if self.vae.is_loaded() { 0 } else { vae },
            decoding: decoding_bytes(&self.vae_config, frame, tile, vae_dtype),
        };
        need.peak(self.options.residency)
    }

    pub(super) fn adapter_count(&self) -> usize {
        self.adapters.len()
    }
}
