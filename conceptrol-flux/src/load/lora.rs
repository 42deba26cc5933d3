//! Low-rank adapter files: OminiControl's condition adapters and style `LoRAs`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, FloatDType};
use conceptrol_core::message::{shown, shown_path};
use conceptrol_core::models::weights::{Checkpoint, WeightError, Weights};

use conceptrol_core::pipeline::PipelineError;

use crate::config::FluxConfig;
use crate::mmdit::{Adapters, FluxTransformer, LowRank, Stream};

/// Prefixes under which tools save the transformer's layers.
const PREFIXES: [&str; 4] = ["transformer.", "base_model.model.", "diffusion_model.", ""];
/// Endings of the two factors and of the strength, by the tools' conventions.
const DOWN: [&str; 2] = [".lora_A.weight", ".lora_down.weight"];
const UP: [&str; 2] = [".lora_B.weight", ".lora_up.weight"];
const ALPHA: &str = ".alpha";

/// Why an adapter file does not fit a transformer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdapterError {
    /// The file itself is damaged.
    #[error(transparent)]
    File(#[from] WeightError),
    /// The file holds nothing that looks like a low-rank adapter.
    #[error(
        "{}: no pairs of lora_A and lora_B among its {tensors} tensors",
        shown_path(path)
    )]
    NoPairs {
        /// The file.
        path: PathBuf,
        /// Number of tensors in it.
        tensors: usize,
    },
    /// A tensor belongs to no pair.
    #[error(
        "{}: {} belongs to no pair of lora_A and lora_B",
        shown_path(path),
        shown(tensor)
    )]
    Unpaired {
        /// The file.
        path: PathBuf,
        /// Name of the tensor.
        tensor: String,
    },
    /// The adapter changes layers this transformer does not have.
    #[error(
        "{}: {unknown} of {layers} layers are not in this transformer, such as {}: the adapter is for another model",
        shown_path(path),
        shown(layer)
    )]
    OtherModel {
        /// The file.
        path: PathBuf,
        /// Layers that do not exist.
        unknown: usize,
        /// Layers of the adapter.
        layers: usize,
        /// The first that does not exist.
        layer: String,
    },
    /// The factors do not fit the layer or each other.
    #[error(
        "{}: {} is {outputs}x{inputs}, its adapter is {up:?} times {down:?}",
        shown_path(path),
        shown(layer)
    )]
    Shape {
        /// The file.
        path: PathBuf,
        /// Name of the layer.
        layer: String,
        /// Outputs of the layer.
        outputs: usize,
        /// Inputs of the layer.
        inputs: usize,
        /// Shape of the factor applied last.
        up: Vec<usize>,
        /// Shape of the factor applied first.
        down: Vec<usize>,
    },
    /// The strength is not a number.
    #[error("{}: the strength of {} is {strength}", shown_path(path), shown(layer))]
    Strength {
        /// The file.
        path: PathBuf,
        /// Name of the layer.
        layer: String,
        /// Its strength.
        strength: f64,
    },
}

/// What was found in an adapter file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterSummary {
    /// Number of layers it changes.
    pub layers: usize,
    /// Smallest and largest rank.
    pub ranks: (usize, usize),
}

/// Reads adapter files for a transformer of one size.
#[derive(Debug, Clone)]
pub struct AdapterReader {
    /// Names and shapes `[outputs, inputs]` of the layers an adapter may change.
    layers: BTreeMap<String, [usize; 2]>,
    device: Device,
    dtype: FloatDType,
}

impl From<AdapterError> for PipelineError {
    fn from(error: AdapterError) -> Self {
        Self::family(error)
    }
}

impl AdapterReader {
    /// A reader for transformers of this size, which puts the factors on `device` as `dtype`.
    pub fn new(config: &FluxConfig, device: &Device, dtype: FloatDType) -> Self {
        Self {
            layers: layers(config, device),
            device: device.clone(),
            dtype,
        }
    }

    /// Adds the low-rank pairs of `file` to those `adapters` has for `stream`.
    ///
    /// Rank and layers are the file's own: OminiControl publishes several sets. A pair acts with `strength`, times
    /// `alpha / rank` where the file has an `alpha` (peft files, OminiControl's among them, have none).
    ///
    /// # Errors
    /// [`AdapterError`] if the file is damaged, holds no adapter, or is for another model; `adapters` is then unchanged.
    pub fn read(
        &self,
        file: &Checkpoint,
        stream: Stream,
        strength: f64,
        adapters: &mut Adapters,
    ) -> Result<AdapterSummary, AdapterError> {
        let pairs = pairs(file)?;
        check_layers(file.path(), &pairs, &self.layers)?;
        let mut ranks = (usize::MAX, 0);
        let mut read = Vec::with_capacity(pairs.len());
        for (layer, pair) in &pairs {
            let rank = check_shapes(file, layer, pair, self.layers[layer])?;
            ranks = (ranks.0.min(rank), ranks.1.max(rank));
            read.push((layer, self.addition(file, layer, pair, strength, rank)?));
        }
        for (layer, addition) in read {
            adapters.add(stream, layer, addition);
        }
        Ok(AdapterSummary {
            layers: pairs.len(),
            ranks,
        })
    }

    fn addition(
        &self,
        file: &Checkpoint,
        layer: &str,
        pair: &Pair,
        strength: f64,
        rank: usize,
    ) -> Result<LowRank, AdapterError> {
        let path = || file.path().to_owned();
        let alpha = match &pair.alpha {
            Some(name) => file.scalar(name)?.map(f64::from),
            None => None,
        };
        let scale = strength * alpha.map_or(1.0, |alpha| alpha / rank as f64);
        if !scale.is_finite() {
            return Err(AdapterError::Strength {
                path: path(),
                layer: layer.to_owned(),
                strength: scale,
            });
        }
        let load = |name: &str| match file.load::<2>(name, &self.device, self.dtype)? {
            Some(factor) => Ok(factor),
            None => Err(AdapterError::Unpaired {
                path: path(),
                tensor: name.to_owned(),
            }),
        };
        Ok(LowRank::new(load(&pair.down)?, load(&pair.up)?, scale))
    }
}

/// Stored names of one layer's tensors.
#[derive(Debug, Default)]
struct Pair {
    down: String,
    up: String,
    alpha: Option<String>,
}

/// The pairs of a file by layer name.
fn pairs(file: &Checkpoint) -> Result<BTreeMap<String, Pair>, AdapterError> {
    let mut pairs: BTreeMap<String, Pair> = BTreeMap::new();
    let path = || file.path().to_owned();
    for tensor in file.tensors() {
        let name = tensor.name;
        let local = PREFIXES
            .iter()
            .find_map(|prefix| name.strip_prefix(prefix))
            .unwrap_or(&name);
        let strip = |endings: &[&str]| endings.iter().find_map(|ending| local.strip_suffix(ending));
        if let Some(layer) = strip(&DOWN) {
            pairs.entry(layer.to_owned()).or_default().down = name.clone();
        } else if let Some(layer) = strip(&UP) {
            pairs.entry(layer.to_owned()).or_default().up = name.clone();
        } else if let Some(layer) = local.strip_suffix(ALPHA) {
            pairs.entry(layer.to_owned()).or_default().alpha = Some(name.clone());
        } else {
            return Err(match pairs.is_empty() {
                true => AdapterError::NoPairs {
                    path: path(),
                    tensors: file.len(),
                },
                false => AdapterError::Unpaired {
                    path: path(),
                    tensor: name,
                },
            });
        }
    }
    if pairs.is_empty() {
        return Err(AdapterError::NoPairs {
            path: path(),
            tensors: file.len(),
        });
    }
    let broken = pairs
        .values()
        .find(|pair| pair.down.is_empty() || pair.up.is_empty());
    match broken {
        Some(Pair { down, up, alpha }) => {
            let tensor = [down, up]
                .into_iter()
                .chain(alpha)
                .find(|name| !name.is_empty());
            let tensor = tensor.cloned().unwrap_or_default();
            Err(AdapterError::Unpaired {
                path: path(),
                tensor,
            })
        }
        None => Ok(pairs),
    }
}

/// Names and shapes `[outputs, inputs]` of the layers an adapter may change.
fn layers(config: &FluxConfig, device: &Device) -> BTreeMap<String, [usize; 2]> {
    let names = Weights::names(device);
    drop(FluxTransformer::new(config, &names));
    let tensors = names.finish().unwrap_or_default();
    let layer = |name: &str, shape: &[usize]| {
        let name = name.strip_suffix(".weight")?;
        let [outputs, inputs] = shape else {
            return None;
        };
        Some((name.to_owned(), [*outputs, *inputs]))
    };
    tensors
        .iter()
        .filter_map(|tensor| layer(&tensor.name, &tensor.shape))
        .collect()
}

fn check_layers(
    path: &Path,
    pairs: &BTreeMap<String, Pair>,
    layers: &BTreeMap<String, [usize; 2]>,
) -> Result<(), AdapterError> {
    let unknown: Vec<_> = pairs
        .keys()
        .filter(|layer| !layers.contains_key(*layer))
        .collect();
    match unknown.first() {
        None => Ok(()),
        Some(layer) => Err(AdapterError::OtherModel {
            path: path.to_owned(),
            unknown: unknown.len(),
            layers: pairs.len(),
            layer: (*layer).clone(),
        }),
    }
}

/// The rank of a pair that fits its layer.
fn check_shapes(
    file: &Checkpoint,
    layer: &str,
    pair: &Pair,
    [outputs, inputs]: [usize; 2],
) -> Result<usize, AdapterError> {
    let shape = |name: &str| {
        file.get(name)
            .map_or_else(Vec::new, |(_, shape)| shape.to_vec())
    };
    let (down, up) = (shape(&pair.down), shape(&pair.up));
    match (down.as_slice(), up.as_slice()) {
        ([rank, columns], [rows, again])
            if *rank > 0 && rank == again && *columns == inputs && *rows == outputs =>
        {
            Ok(*rank)
        }
        _ => {
            let (path, layer) = (file.path().to_owned(), layer.to_owned());
            Err(AdapterError::Shape {
                path,
                layer,
                outputs,
                inputs,
                up,
                down,
            })
        }
    }
}
