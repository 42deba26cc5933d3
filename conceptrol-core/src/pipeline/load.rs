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
    /// Low-rank adapters of denoiser and text encoders that are merged into the weights.
    pub loras: Vec<LoraOption>,
    /// Low-rank adapters that are kept apart, for requests to use by their number: files, or folders of diffusers or peft.
    pub loras_apart: Vec<PathBuf>,
    /// `ControlNets`, in the order requests number them: folders of diffusers, or files.
    pub controlnets: Vec<PathBuf>,
    /// Files of textual inversion, with how prompts write their words where that is given.
    pub embeddings: Vec<(PathBuf, Option<String>)>,
    /// Files or folders of parts that are not taken from the model, by the names of their folders in diffusers.
    pub parts: BTreeMap<String, PathBuf>,
    /// A folder of configurations and tokenizers, for models without or with others.
    pub configurations: Option<PathBuf>,
    /// What only one family has.
    pub extra: X,
}

/// A low-rank adapter and how strongly it acts.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LoraOption {
    /// A file, or a folder of diffusers or peft.
    pub path: PathBuf,
    /// Factor on what it adds.
    pub strength: f64,
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
    /// Of a `FaceID` plus adapter: whether what it sees of the picture is added to the face's tokens (version 2) or takes their
    /// place. Nothing in a file tells; if `None`, its name does: `plusv2`.
    pub face_shortcut: Option<bool>,
}

impl AdapterFiles {
    /// Sets whether a `FaceID` plus adapter is of version 2.
    pub fn face_shortcut(mut self, shortcut: bool) -> Self {
        self.face_shortcut = Some(shortcut);
        self
    }
}

macro_rules! weights_alone {
    ($($path:ty),*) => {$(
        impl From<$path> for AdapterFiles {
            fn from(weights: $path) -> Self {
                Self { weights: weights.into(), image_encoder: None, face_shortcut: None }
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
            face_shortcut: None,
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
            loras: Vec::new(),
            loras_apart: Vec::new(),
            controlnets: Vec::new(),
            embeddings: Vec::new(),
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

    /// Merges a low-rank adapter into the weights as they are read. Several add up, and a strength may be negative.
    pub fn lora(mut self, path: impl Into<PathBuf>, strength: f64) -> Self {
        self.loras.push(LoraOption {
            path: path.into(),
            strength,
        });
        self
    }

    /// Keeps a low-rank adapter apart: each [request](super::Request::lora) says how strongly it acts, when and where. Costs the
    /// memory of its factors, and two small products at each of its modules while it acts. Forms that are no product of small
    /// matrices (a `LoKr` with a full factor, Tucker cores) take the memory of the weights they change.
    pub fn lora_apart(mut self, path: impl Into<PathBuf>) -> Self {
        self.loras_apart.push(path.into());
        self
    }

    /// Adds a `ControlNet`: a folder of diffusers, or a file. It is loaded when a request first uses it.
    pub fn controlnet(mut self, path: impl Into<PathBuf>) -> Self {
        self.controlnets.push(path.into());
        self
    }

    /// Adds the learnt words of a file, under the names the file gives them.
    pub fn embedding(mut self, path: impl Into<PathBuf>) -> Self {
        self.embeddings.push((path.into(), None));
        self
    }

    /// Adds the learnt word of a file; prompts write it as `token`.
    pub fn embedding_as(mut self, path: impl Into<PathBuf>, token: impl Into<String>) -> Self {
        self.embeddings.push((path.into(), Some(token.into())));
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
        self.weights(checkpoint, dtype).build(build)
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
