//! From a path to the reader of its format.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{entry::Entries, error::WeightError, file::WeightFile, safetensors, sharded, torch};

/// The container of a single checkpoint file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// A JSON header followed by the tensors.
    Safetensors,
    /// What `torch.save` writes: a zip archive with a pickle and one member a storage. Parsed, never executed.
    Torch,
}

impl Format {
    /// The format that the ending of a file name stands for.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "safetensors" | "sft" => Some(Self::Safetensors),
            "bin" | "pt" | "pth" | "ckpt" => Some(Self::Torch),
            _ => None,
        }
    }
}

/// Names that diffusers and transformers give checkpoints, best first.
const NAMES: [&str; 12] = [
    "diffusion_pytorch_model.safetensors",
    "model.safetensors",
    "diffusion_pytorch_model.safetensors.index.json",
    "model.safetensors.index.json",
    "diffusion_pytorch_model.fp16.safetensors",
    "model.fp16.safetensors",
    "diffusion_pytorch_model.fp16.safetensors.index.json",
    "model.fp16.safetensors.index.json",
    "diffusion_pytorch_model.bin",
    "pytorch_model.bin",
    "diffusion_pytorch_model.bin.index.json",
    "pytorch_model.bin.index.json",
];

/// The checkpoint that `path` means (itself, or the best one of a folder) and its tensors.
pub(super) fn path(path: &Path) -> Result<(PathBuf, Entries), WeightError> {
    let path = if path.is_dir() {
        choose(path)?
    } else {
        path.to_owned()
    };
    let entries = if path.to_string_lossy().ends_with(".index.json") {
        sharded::open(&path)?
    } else {
        file(&path)?
    };
    Ok((path, entries))
}

fn choose(folder: &Path) -> Result<PathBuf, WeightError> {
    NAMES
        .iter()
        .map(|name| folder.join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| WeightError::NoCheckpoint {
            path: folder.to_owned(),
            looked_for: NAMES.join(", "),
        })
}

/// Opens one file that is not an index.
pub(super) fn file(path: &Path) -> Result<Entries, WeightError> {
    let file = WeightFile::open(path)?;
    let format = Format::of(path).ok_or_else(|| WeightError::UnknownFormat {
        path: path.to_owned(),
    })?;
    content(file, format)
}

/// Reads the directory of an opened file.
pub(super) fn content(file: WeightFile, format: Format) -> Result<Entries, WeightError> {
    let file = Arc::new(file);
    match format {
        Format::Safetensors => safetensors::entries(&file),
        Format::Torch => torch::entries(&file),
    }
}
