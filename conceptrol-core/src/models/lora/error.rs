use std::path::PathBuf;

use super::target::Part;
use crate::message::{shown, shown_path};
use crate::models::config::ConfigError;
use crate::models::weights::WeightError;

/// Why a low-rank file could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoraError {
    /// The file cannot be read or is damaged.
    #[error(transparent)]
    File(#[from] WeightError),
    /// Its configuration is malformed, or asks for what is not computed.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The file holds nothing that looks like a low-rank adapter.
    #[error(
        "{}: no low-rank adapter, none of its {tensors} tensors is a factor of one",
        shown_path(path)
    )]
    NoLayers {
        /// The file.
        path: PathBuf,
        /// Number of tensors in it.
        tensors: usize,
    },
    /// An adapter of a kind that is recognised and not computed.
    #[error(
        "{}: {} makes it {kind}, which is not supported (supported are LoRA, LoHa and LoKr)",
        shown_path(path),
        shown(tensor)
    )]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
        /// The tensor that says so.
        tensor: String,
    },
    /// Tensors that belong to no layer of the model.
    #[error(
        "{}: {unknown} of {layers} layers are not of this model, such as {}{}",
        shown_path(path),
        shown(layer),
        closest.as_ref().map_or_else(String::new, |(convention, name)| format!("; closest is {} of {convention}", shown(name)))
    )]
    Unknown {
        /// The file.
        path: PathBuf,
        /// Layers, and tensors outside of layers, that are not known.
        unknown: usize,
        /// All of them.
        layers: usize,
        /// The first.
        layer: String,
        /// The convention and the spelling in it that is most like it.
        closest: Option<(String, String)>,
    },
    /// A name that stands for modules of two models.
    #[error(
        "{}: {} is in {first} and in {second}: give its folder the name of the model's",
        shown_path(path),
        shown(layer)
    )]
    Ambiguous {
        /// The file.
        path: PathBuf,
        /// Name of the layer.
        layer: String,
        /// One model.
        first: Part,
        /// Another.
        second: Part,
    },
    /// One module is changed twice, in two namings perhaps.
    #[error(
        "{}: {} and {} are the same layer",
        shown_path(path),
        shown(first),
        shown(second)
    )]
    Twice {
        /// The file.
        path: PathBuf,
        /// A name in the file.
        first: String,
        /// Another.
        second: String,
    },
    /// A layer without one of its factors.
    #[error("{}: {} lacks {missing}", shown_path(path), shown(layer))]
    Incomplete {
        /// The file.
        path: PathBuf,
        /// Name of the layer.
        layer: String,
        /// What is not there.
        missing: &'static str,
    },
    /// The factors do not fit each other, or the module.
    #[error(
        "{}: {} changes a weight of {outputs}x{inputs}, its factors are {}",
        shown_path(path),
        shown(layer),
        factors.join(" and ")
    )]
    Shape {
        /// The file.
        path: PathBuf,
        /// Name of the layer.
        layer: String,
        /// Outputs of the module, or of the modules that are fused in the layer.
        outputs: usize,
        /// Inputs of the module, times the cells of its kernel.
        inputs: usize,
        /// The tensors of the layer.
        factors: Vec<String>,
    },
    /// A stored strength that is not one finite number.
    #[error(
        "{}: {} is {found}, it must be one finite number",
        shown_path(path),
        shown(tensor)
    )]
    Alpha {
        /// The file.
        path: PathBuf,
        /// Name of the tensor.
        tensor: String,
        /// Its value or shape.
        found: String,
    },
    /// The strength asked for, times that of a layer, is not finite.
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
