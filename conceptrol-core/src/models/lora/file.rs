//! A low-rank file by the layers it names, before it is known what they are of.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::alpha::Strengths;
use super::ending::{Role, split};
use super::error::LoraError;
use super::factors::Factors;
use crate::models::weights::Checkpoint;

/// Names that diffusers and peft give adapters in a folder, best first.
const NAMES: [&str; 4] = [
    "pytorch_lora_weights.safetensors",
    "adapter_model.safetensors",
    "pytorch_lora_weights.bin",
    "adapter_model.bin",
];

/// The tensors of a layer by what they are to it.
pub(super) type Tensors = BTreeMap<Role, String>;

/// A low-rank file whose layers are whole. Headers and strengths are read, factors when they are needed.
#[derive(Debug, Clone)]
pub struct LoraFile {
    pub(super) checkpoint: Checkpoint,
    pub(super) layers: BTreeMap<String, Layer>,
    /// Tensors that are no part of a layer.
    pub(super) strays: Vec<String>,
    pub(super) strengths: Strengths,
}

/// A layer of a file.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub(super) factors: Factors,
    pub(super) alpha: Option<f64>,
    /// Its tensors, for messages.
    pub(super) tensors: Vec<String>,
}

impl LoraFile {
    /// Opens a file, or the adapter in a folder of diffusers or peft.
    ///
    /// # Errors
    ///
    /// [`LoraError`] for a file that cannot be read, is no low-rank adapter or one of a kind that is not computed, with
    /// layers that lack something, or with strengths that are no numbers.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, LoraError> {
        Self::of(Checkpoint::open(file(path.as_ref()))?)
    }

    /// A file that is open already.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open) that are about content.
    pub fn of(checkpoint: Checkpoint) -> Result<Self, LoraError> {
        let path = || checkpoint.path().to_owned();
        let (mut grouped, mut strays) = (BTreeMap::<String, Tensors>::new(), Vec::new());
        for tensor in checkpoint.tensors() {
            let Some((layer, role)) = split(&tensor.name) else {
                strays.push(tensor.name);
                continue;
            };
            if let Role::Unsupported(kind) = role {
                let (path, tensor) = (path(), tensor.name);
                return Err(LoraError::Unsupported { path, kind, tensor });
            }
            let layer = grouped.entry(layer.to_owned()).or_default();
            if let Some(first) = layer.insert(role, tensor.name.clone()) {
                let (path, second) = (path(), tensor.name);
                return Err(LoraError::Twice {
                    path,
                    first,
                    second,
                });
            }
        }
        if grouped.is_empty() {
            let (path, tensors) = (path(), checkpoint.len());
            return Err(LoraError::NoLayers { path, tensors });
        }
        let layers = grouped
            .into_iter()
            .map(|(name, tensors)| {
                let layer = layer(&checkpoint, &name, tensors)?;
                Ok((name, layer))
            })
            .collect::<Result<_, LoraError>>()?;
        Ok(Self {
            strengths: Strengths::of(&checkpoint)?,
            checkpoint,
            layers,
            strays,
        })
    }

    /// Whether a checkpoint looks like a low-rank adapter: most of its tensors are parts of layers.
    pub fn is_one(checkpoint: &Checkpoint) -> bool {
        let parts = checkpoint
            .tensors()
            .filter(|tensor| split(&tensor.name).is_some());
        2 * parts.count() > checkpoint.len()
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.checkpoint.path()
    }
}

/// The adapter in a folder, or the path itself.
fn file(path: &Path) -> PathBuf {
    let named = || {
        NAMES
            .iter()
            .map(|name| path.join(name))
            .find(|file| file.is_file())
    };
    match path.is_dir() {
        true => named().unwrap_or_else(|| path.to_owned()),
        false => path.to_owned(),
    }
}

fn layer(checkpoint: &Checkpoint, name: &str, tensors: Tensors) -> Result<Layer, LoraError> {
    let path = || checkpoint.path().to_owned();
    let factors = Factors::of(&tensors).map_err(|missing| LoraError::Incomplete {
        path: path(),
        layer: name.to_owned(),
        missing,
    })?;
    let alpha = match tensors.get(&Role::Alpha) {
        None => None,
        Some(tensor) => Some(alpha(checkpoint, tensor)?),
    };
    let is_factor = |(role, _): &(Role, String)| *role != Role::Alpha;
    let factor_names = tensors.into_iter().filter(is_factor).map(|(_, name)| name);
    Ok(Layer {
        factors,
        alpha,
        tensors: factor_names.collect(),
    })
}

fn alpha(checkpoint: &Checkpoint, tensor: &str) -> Result<f64, LoraError> {
    let found = match checkpoint.scalar(tensor)? {
        Some(alpha) if alpha.is_finite() => return Ok(f64::from(alpha)),
        Some(alpha) => alpha.to_string(),
        None => {
            let (dtype, shape) = checkpoint.get(tensor).expect("it is in the file");
            format!("{dtype} of shape {shape:?}")
        }
    };
    Err(LoraError::Alpha {
        path: checkpoint.path().to_owned(),
        tensor: tensor.to_owned(),
        found,
    })
}
