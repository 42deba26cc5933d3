//! A FLUX model on disk.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, FloatDType};
use conceptrol_core::models::autoencoder_kl::{AutoencoderKl, AutoencoderKlConfig};
use conceptrol_core::models::clip_text::{ClipTextConfig, ClipTextModel};
use conceptrol_core::models::config::read_config;
use conceptrol_core::models::tokenizer::{ClipTokenizer, T5Tokenizer};
use conceptrol_core::models::weights::{Checkpoint, Files, Weights};
use serde::Deserialize;

use super::bfl::{config_of, transformer_checkpoint};
use crate::config::FluxConfig;
use crate::error::FluxError;
use crate::mmdit::FluxTransformer;
use crate::pipeline::{PromptEncoders, Tokenizers};
use conceptrol_core::models::scheduler::FlowMatchConfig;
use conceptrol_core::models::t5::{T5Config, T5Encoder};

/// Where the two large models, the transformer and the T5 encoder, live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Residency {
    /// In memory, from opening on.
    #[default]
    Memory,
    /// In memory while they are used: the text encoders are dropped before the transformer is loaded.
    WhileUsed,
    /// On disk: each block is read when its turn comes and dropped afterwards, at every step.
    Disk,
}

/// A FLUX model in a diffusers folder, optionally with the transformer of another file.
///
/// Opening reads `model_index.json` only; every part is loaded when asked for, so that the text encoders can be dropped
/// before the transformer comes into memory.
#[derive(Debug, Clone)]
pub struct FluxFolder {
    root: PathBuf,
    transformer: Option<PathBuf>,
    device: Device,
    dtype: FloatDType,
    files: Files,
}

/// The part of `model_index.json` that tells families apart.
#[derive(Debug, Deserialize)]
struct ModelIndex {
    #[serde(rename = "_class_name")]
    class_name: String,
}

impl FluxFolder {
    /// Opens a diffusers folder; parts will be put on `device` and computed in `dtype`.
    ///
    /// # Errors
    /// [`FluxError::Config`] without a readable `model_index.json`, [`FluxError::WrongFamily`] if it names another family.
    pub fn open(
        path: impl AsRef<Path>,
        device: &Device,
        dtype: FloatDType,
    ) -> Result<Self, FluxError> {
        let root = path.as_ref().to_owned();
        let path = root.join("model_index.json");
        let index: ModelIndex = read_config(&path)?;
        if !index.class_name.starts_with("Flux") {
            return Err(FluxError::WrongFamily {
                path,
                found: index.class_name,
            });
        }
        Ok(Self {
            root,
            transformer: None,
            device: device.clone(),
            dtype,
            files: Files::Read,
        })
    }

    /// Sets how files of weights get into memory.
    pub const fn with_files(mut self, files: Files) -> Self {
        self.files = files;
        self
    }

    /// Takes the transformer from `file` instead: diffusers or the original single-file layout, any float type.
    pub fn with_transformer(mut self, file: impl AsRef<Path>) -> Self {
        self.transformer = Some(file.as_ref().to_owned());
        self
    }

    /// The device parts are put on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The type parts compute in.
    pub fn dtype(&self) -> FloatDType {
        self.dtype
    }

    /// Loads the tokenizers of the text encoders.
    ///
    /// # Errors
    /// [`FluxError::Tokenizer`] names the file that is missing or damaged.
    pub fn tokenizers(&self) -> Result<Tokenizers, FluxError> {
        Ok(Tokenizers {
            clip: ClipTokenizer::open(self.root.join("tokenizer"))?,
            t5: T5Tokenizer::open(self.root.join("tokenizer_2"))?,
        })
    }

    /// Loads the text encoders.
    ///
    /// # Errors
    /// [`FluxError`] names the file that is missing, damaged or of another model.
    pub fn prompt_encoders(&self, residency: Residency) -> Result<PromptEncoders, FluxError> {
        let config = ClipTextConfig::from_file(self.root.join("text_encoder/config.json"))?;
        let weights = self.weights("text_encoder")?;
        let clip = ClipTextModel::new(&config, &weights);
        weights.finish()?;
        Ok(PromptEncoders {
            clip,
            t5: self.t5(residency)?,
        })
    }

    fn t5(&self, residency: Residency) -> Result<T5Encoder, FluxError> {
        let config = T5Config::from_file(self.root.join("text_encoder_2/config.json"))?;
        let weights = self.weights("text_encoder_2")?;
        Ok(match residency {
            Residency::Memory | Residency::WhileUsed => {
                let t5 = T5Encoder::new(&config, &weights);
                weights.finish()?;
                t5
            }
            Residency::Disk => {
                drop(T5Encoder::new(&config, &weights.unread()));
                weights.clone().finish()?;
                T5Encoder::streamed(&config, &weights)
            }
        })
    }

    /// Loads the transformer.
    ///
    /// # Errors
    /// [`FluxError`] names the file that is missing, damaged or of another model.
    pub fn transformer(&self, residency: Residency) -> Result<FluxTransformer, FluxError> {
        let (config, file) = match &self.transformer {
            Some(path) => {
                let file = transformer_checkpoint(&Checkpoint::open_as(path, self.files)?)?;
                (config_of(&file)?, file)
            }
            None => {
                let folder = self.root.join("transformer");
                let config = FluxConfig::from_file(folder.join("config.json"))?;
                (
                    config,
                    transformer_checkpoint(&Checkpoint::open_as(folder, self.files)?)?,
                )
            }
        };
        let weights = Weights::from_checkpoint(file, &self.device, self.dtype);
        load_transformer(&config, weights, residency)
    }

    /// Loads the autoencoder; it computes in f32 where half precision would overflow.
    ///
    /// # Errors
    /// [`FluxError`] names the file that is missing, damaged or of another model.
    pub fn autoencoder(&self) -> Result<AutoencoderKl, FluxError> {
        let config = AutoencoderKlConfig::from_file(self.root.join("vae/config.json"))?;
        let weights = self
            .weights("vae")?
            .with_dtype(config.compute_dtype(self.dtype));
        let autoencoder = AutoencoderKl::new(&config, &weights);
        weights.finish()?;
        Ok(autoencoder)
    }

    /// Reads the noise schedule's configuration.
    ///
    /// # Errors
    /// [`FluxError::Config`] if the file is missing, damaged or not supported.
    pub fn schedule(&self) -> Result<FlowMatchConfig, FluxError> {
        let path = self.root.join("scheduler/scheduler_config.json");
        Ok(FlowMatchConfig::from_file(path)?)
    }

    fn weights(&self, part: &str) -> Result<Weights, FluxError> {
        let checkpoint = Checkpoint::open_as(self.root.join(part), self.files)?;
        Ok(Weights::from_checkpoint(
            checkpoint,
            &self.device,
            self.dtype,
        ))
    }
}

/// A transformer of `config` from the scope of all its weights, every tensor of which must be used.
///
/// # Errors
/// [`FluxError::Weights`] lists what is missing, unexpected or of another shape.
pub fn load_transformer(
    config: &FluxConfig,
    weights: Weights,
    residency: Residency,
) -> Result<FluxTransformer, FluxError> {
    Ok(match residency {
        Residency::Memory | Residency::WhileUsed => {
            let model = FluxTransformer::new(config, &weights);
            weights.finish()?;
            model
        }
        Residency::Disk => {
            drop(FluxTransformer::new(config, &weights.unread()));
            weights.clone().finish()?;
            FluxTransformer::streamed(config, &weights)
        }
    })
}
