//! The models of the pipeline, loaded.

use std::borrow::Cow;
use std::path::Path;

use burn::tensor::{Device, FloatDType};
use conceptrol_core::AttentionSites;
use conceptrol_core::models::autoencoder_kl::AutoencoderKl;
use conceptrol_core::models::weights::Checkpoint;

use super::prompt::{PromptEncoders, PromptStates, Tokenizers};
use crate::config::FluxConfig;
use crate::error::FluxError;
use crate::load::{AdapterReader, AdapterSummary, FluxFolder, Residency};
use crate::mmdit::{Adapters, FluxTransformer, Stream};
use crate::omini::Placement;
use crate::sites::attention_sites;
use conceptrol_core::models::scheduler::FlowMatchConfig;

/// FLUX with its text encoders, transformer, autoencoder and adapters.
#[derive(Debug)]
pub struct FluxPipeline {
    folder: FluxFolder,
    residency: Residency,
    config: FluxConfig,
    tokenizers: Tokenizers,
    /// Kept only when everything is in memory.
    encoders: Option<PromptEncoders>,
    /// Not kept when it is in memory only while it is used.
    transformer: Option<FluxTransformer>,
    pub(super) autoencoder: AutoencoderKl,
    pub(super) schedule: FlowMatchConfig,
    adapters: Adapters,
    pub(super) placement: Placement,
}

impl FluxPipeline {
    /// Loads a model.
    ///
    /// Except with [`Residency::Memory`] the text encoders are loaded for each prompt and dropped again. The transformer is
    /// loaded for each generation with [`Residency::WhileUsed`], its blocks at every step with [`Residency::Disk`]; its files
    /// are checked at once.
    ///
    /// # Errors
    /// [`FluxError`] names the file that is missing, damaged or of another model.
    pub fn load(folder: FluxFolder, residency: Residency) -> Result<Self, FluxError> {
        let tokenizers = folder.tokenizers()?;
        let encoders = match residency {
            Residency::Memory => Some(folder.prompt_encoders(residency)?),
            Residency::WhileUsed | Residency::Disk => None,
        };
        let autoencoder = folder.autoencoder()?;
        let (transformer, config) = match residency {
            Residency::Memory | Residency::Disk => {
                let transformer = folder.transformer(residency)?;
                let config = transformer.config().clone();
                (Some(transformer), config)
            }
            // Checked without reading the blocks.
            Residency::WhileUsed => (None, folder.transformer(Residency::Disk)?.config().clone()),
        };
        let (found, expected) = (
            autoencoder.config().latent_channels,
            config.latent_channels(),
        );
        if found != expected {
            return Err(FluxError::Channels {
                part: "the autoencoder",
                found,
                expected,
            });
        }
        Ok(Self {
            schedule: folder.schedule()?,
            folder,
            residency,
            config,
            tokenizers,
            encoders,
            transformer,
            autoencoder,
            adapters: Adapters::default(),
            placement: Placement::default(),
        })
    }

    /// Installs the adapter that teaches the transformer to read conditions, in place of the one before; `placement` is
    /// what it was trained with.
    ///
    /// # Errors
    /// [`FluxError::Adapter`] if the file is damaged or for another model.
    pub fn load_condition_adapter(
        &mut self,
        path: impl AsRef<Path>,
        placement: Placement,
    ) -> Result<AdapterSummary, FluxError> {
        let mut adapters = self.adapters.clone();
        adapters.clear(Stream::Condition);
        let summary = self.read_adapter(path.as_ref(), Stream::Condition, 1.0, &mut adapters)?;
        self.install(adapters);
        self.placement = placement;
        Ok(summary)
    }

    /// Adds a style adapter, which acts on text and latents with `strength`, to those installed before.
    ///
    /// # Errors
    /// [`FluxError::Adapter`] if the file is damaged or for another model.
    pub fn add_style_adapter(
        &mut self,
        path: impl AsRef<Path>,
        strength: f64,
    ) -> Result<AdapterSummary, FluxError> {
        let mut adapters = self.adapters.clone();
        let summary = self.read_adapter(path.as_ref(), Stream::Main, strength, &mut adapters)?;
        self.install(adapters);
        Ok(summary)
    }

    fn read_adapter(
        &self,
        path: &Path,
        stream: Stream,
        strength: f64,
        adapters: &mut Adapters,
    ) -> Result<AdapterSummary, FluxError> {
        let file = Checkpoint::open(path)?;
        let reader = AdapterReader::new(self.config(), self.device(), self.dtype());
        Ok(reader.read(&file, stream, strength, adapters)?)
    }

    fn install(&mut self, adapters: Adapters) {
        if let Some(transformer) = &mut self.transformer {
            transformer.set_adapters(adapters.clone());
        }
        self.adapters = adapters;
    }

    /// The transformer with its adapters, loaded now if it is not kept.
    pub(super) fn transformer(&self) -> Result<Cow<'_, FluxTransformer>, FluxError> {
        match &self.transformer {
            Some(transformer) => Ok(Cow::Borrowed(transformer)),
            None => {
                let mut transformer = self.folder.transformer(self.residency)?;
                transformer.set_adapters(self.adapters.clone());
                Ok(Cow::Owned(transformer))
            }
        }
    }

    /// The sizes of the transformer.
    pub fn config(&self) -> &FluxConfig {
        &self.config
    }

    /// The sites a plan can be installed on.
    pub fn attention_sites(&self) -> AttentionSites {
        attention_sites(self.config())
    }

    /// The autoencoder.
    pub fn autoencoder(&self) -> &AutoencoderKl {
        &self.autoencoder
    }

    /// The tokenizers of the text encoders.
    pub fn tokenizers(&self) -> &Tokenizers {
        &self.tokenizers
    }

    /// The noise schedule's configuration.
    pub fn schedule(&self) -> &FlowMatchConfig {
        &self.schedule
    }

    /// Encodes a prompt into `tokens` T5 tokens and CLIP's pooled state.
    ///
    /// # Errors
    /// [`FluxError`] if the prompt cannot be encoded, or the encoders cannot be loaded.
    pub fn encode_prompt(&self, prompt: &str, tokens: usize) -> Result<PromptStates, FluxError> {
        let loaded;
        let encoders = match &self.encoders {
            Some(encoders) => encoders,
            None => {
                loaded = self.folder.prompt_encoders(self.residency)?;
                &loaded
            }
        };
        encoders.encode(&self.tokenizers, prompt, tokens, self.device())
    }

    pub(super) fn device(&self) -> &Device {
        self.folder.device()
    }

    pub(super) fn dtype(&self) -> FloatDType {
        self.folder.dtype()
    }

    pub(super) fn autoencoder_dtype(&self) -> FloatDType {
        self.autoencoder.config().compute_dtype(self.dtype())
    }
}
