//! How a pipeline is loaded.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use burn::tensor::{Device, FloatDType};

use crate::{
    models::weights::{Checkpoint, Files, WeightError, Weights},
    pipeline::{Residency, weight_bytes},
};

/// How a pipeline is loaded: where it runs, in which type, what is kept, and which adapters come with it.
///
/// `X` holds what only one family has.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LoadOptions<X = ()> {
    /// Where it runs.
    pub device: Device,
    /// The type it computes in.
    pub dtype: FloatDType,
    /// Where the large parts live between uses.
    pub residency: Residency,
    /// How files of weights get into memory.
    pub files: Files,
    /// Adapters that make the model read reference pictures, in the order concepts name them.
    pub adapters: Vec<AdapterFiles>,
    /// Files or folders of parts that are not taken from the model, by the names of their folders in diffusers.
    pub parts: BTreeMap<String, PathBuf>,
    /// A folder of configurations and tokenizers, for models without or with others.
    pub configurations: Option<PathBuf>,
    /// What only one family has.
    pub extra: X,
}

/// The files of an adapter.
///
/// ```
/// use conceptrol_core::pipeline::AdapterFiles;
///
/// let ip_adapter = AdapterFiles::from(("ip-adapter-plus_sd15.safetensors", "models/image_encoder"));
/// let omini = AdapterFiles::from("subject_512.safetensors");
/// assert!(ip_adapter.image_encoder.is_some() && omini.image_encoder.is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdapterFiles {
    /// `ip-adapter_*.safetensors` or `.bin`; the LoRA of an OminiControl.
    pub weights: PathBuf,
    /// Folder of the image encoder that an IP-Adapter was trained with.
    pub image_encoder: Option<PathBuf>,
}

macro_rules! weights_alone {
    ($($path:ty),*) => {$(
        impl From<$path> for AdapterFiles {
            fn from(weights: $path) -> Self {
                Self { weights: weights.into(), image_encoder: None }
            }
        }
    )*};
}

weights_alone!(&str, String, &Path, PathBuf);

impl<W: Into<PathBuf>, E: Into<PathBuf>> From<(W, E)> for AdapterFiles {
    fn from((weights, image_encoder): (W, E)) -> Self {
        Self {
            weights: weights.into(),
            image_encoder: Some(image_encoder.into()),
        }
    }
}

impl<X: Default> LoadOptions<X> {
    /// Everything kept in memory, in f32, without adapters.
    pub fn new(device: Device) -> Self {
        Self {
            device,
            dtype: FloatDType::F32,
            residency: Residency::Memory,
            files: Files::Read,
            adapters: Vec::new(),
            parts: BTreeMap::new(),
            configurations: None,
            extra: X::default(),
        }
    }
}

impl<X> LoadOptions<X> {
    /// Sets the type to compute in.
    pub fn dtype(mut self, dtype: FloatDType) -> Self {
        self.dtype = dtype;
        self
    }

    /// Sets where the large parts live between uses.
    pub fn residency(mut self, residency: Residency) -> Self {
        self.residency = residency;
        self
    }

    /// Sets how files of weights get into memory.
    pub fn files(mut self, files: Files) -> Self {
        self.files = files;
        self
    }

    /// Adds an adapter: its weights, or its weights and the folder of its image encoder.
    pub fn adapter(mut self, files: impl Into<AdapterFiles>) -> Self {
        self.adapters.push(files.into());
        self
    }

    /// Sets what only one family has.
    pub fn extra(mut self, extra: X) -> Self {
        self.extra = extra;
        self
    }

    /// Takes a part of the model, named as its folder in diffusers (`vae`, `text_encoder`), from this file or folder
    /// instead.
    pub fn part(mut self, name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        self.parts.insert(name.into(), path.into());
        self
    }

    /// Takes configurations and tokenizers from this folder, laid out as a diffusers folder, where it has them.
    pub fn configurations(mut self, folder: impl Into<PathBuf>) -> Self {
        self.configurations = Some(folder.into());
        self
    }

    /// Weights to be computed with in `dtype` on the device.
    pub fn weights(&self, checkpoint: Checkpoint, dtype: FloatDType) -> Weights {
        Weights::from_checkpoint(checkpoint, &self.device, dtype)
    }

    /// Loads a model that is to be computed with in `dtype` on the device.
    ///
    /// # Errors
    ///
    /// [`WeightError`] if the checkpoint is of another model, or cannot be read any more.
    pub fn load<M>(
        &self,
        checkpoint: Checkpoint,
        dtype: FloatDType,
        build: impl FnOnce(&Weights) -> M,
    ) -> Result<M, WeightError> {
        let weights = self.weights(checkpoint, dtype);
        let model = build(&weights);
        weights.finish()?;
        Ok(model)
    }

    /// Compares a model with the headers of its files, without reading tensors: the bytes its weights take in `dtype`.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn check<M>(
        &self,
        checkpoint: Checkpoint,
        dtype: FloatDType,
        build: impl FnOnce(&Weights) -> M,
    ) -> Result<u64, WeightError> {
        let bytes = weight_bytes(&checkpoint, dtype);
        let weights = self.weights(checkpoint, dtype).unread();
        drop(build(&weights));
        weights.finish()?;
        Ok(bytes)
    }
}
