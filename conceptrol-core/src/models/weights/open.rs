//! From a path to the reader of its format.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;

use super::{
    entry::Entries, error::WeightError, file::WeightFile, gguf, names, safetensors, sharded, torch,
};
use crate::models::file::{Content, check_regular};

/// The container of a single checkpoint file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// A JSON header followed by the tensors.
    Safetensors,
    /// What `torch.save` writes: a zip archive with a pickle and one member a storage. Parsed, never executed.
    Torch,
    /// The container of ggml, whose weights may be quantised in blocks.
    Gguf,
}

impl Format {
    /// The format that the ending of a file name stands for.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "safetensors" | "sft" => Some(Self::Safetensors),
            "bin" | "pt" | "pth" | "ckpt" => Some(Self::Torch),
            "gguf" => Some(Self::Gguf),
            _ => None,
        }
    }
}

/// How the files of a checkpoint get into memory.
#[derive(Debug, Clone, Copy, Default)]
pub enum Files {
    /// Each tensor is read when it is taken.
    #[default]
    Read,
    /// As this function gives them, which may map them. Tensors that are taken with the element type they are stored with share
    /// that memory: a map is loaded in no time, and its pages are read when they are first used (those of a torch file for
    /// its checksums, when a tensor of theirs is taken).
    ///
    /// The function is called for regular files only.
    ///
    /// ```no_run
    /// use std::{fs::File, io, path::Path};
    ///
    /// use bytes::Bytes;
    /// use conceptrol_core::models::weights::{Checkpoint, Files};
    ///
    /// fn map(path: &Path) -> io::Result<Bytes> {
    ///     let file = File::open(path)?;
    ///     // SAFETY: nothing writes to this file or truncates it while the model is in use
    ///     let map = unsafe { memmap2::Mmap::map(&file)? };
    ///     Ok(Bytes::from_owner(map))
    /// }
    ///
    /// let checkpoint = Checkpoint::open_as("stable-diffusion/unet", Files::Mapped(map))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// That files stay as they are, only the application can know, so mapping them is its decision.
    Mapped(fn(&Path) -> io::Result<Bytes>),
}

impl Files {
    fn open(self, path: &Path) -> Result<WeightFile, WeightError> {
        match self {
            Self::Read => WeightFile::open(path),
            Self::Mapped(map) => match check_regular(path).and_then(|()| map(path)) {
                Ok(bytes) => Ok(WeightFile::from_bytes(path, bytes)),
                Err(source) => Err(WeightError::Io {
                    path: path.to_owned(),
                    source,
                }),
            },
        }
    }
}

/// What error messages say is looked for in folders.
const LOOKED_FOR: &str = "diffusion_pytorch_model, model or pytorch_model, .safetensors or .bin, perhaps with a variant \
such as fp16, or the index of its shards";

/// Bytes a file is told by.
const START: u64 = 512;

/// The checkpoint that `path` means (itself, or the best one of a folder) and its tensors.
pub(super) fn path(path: &Path, files: Files) -> Result<(PathBuf, Entries), WeightError> {
    let path = if path.is_dir() {
        choose(path)?
    } else {
        path.to_owned()
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let entries = match names::is_index(&name) {
        true => sharded::open(&path, files)?,
        false => file(&path, files)?,
    };
    Ok((path, entries))
}

fn choose(folder: &Path) -> Result<PathBuf, WeightError> {
    let io = |source| WeightError::Io {
        path: folder.to_owned(),
        source,
    };
    let mut found = Vec::new();
    for entry in folder.read_dir().map_err(io)? {
        // names that are no text are no checkpoint's
        found.extend(entry.map_err(io)?.file_name().into_string());
    }
    let best = names::best(found.iter().map(String::as_str), None);
    best.map(|name| folder.join(name))
        .ok_or_else(|| WeightError::NoCheckpoint {
            path: folder.to_owned(),
            looked_for: LOOKED_FOR.to_owned(),
        })
}

/// Opens one file that is not an index.
pub(super) fn file(path: &Path, files: Files) -> Result<Entries, WeightError> {
    let file = files.open(path)?;
    let format = Format::of(path).ok_or_else(|| WeightError::UnknownFormat {
        path: path.to_owned(),
    })?;
    content(file, format)
}

/// Reads the directory of an opened file.
pub(super) fn content(file: WeightFile, format: Format) -> Result<Entries, WeightError> {
    let file = Arc::new(file);
    let entries = match format {
        Format::Safetensors => safetensors::entries(&file),
        Format::Torch => torch::entries(&file),
        Format::Gguf => gguf::entries(&file),
    };
    entries.map_err(|error| not_weights(&file, format).unwrap_or(error))
}

/// What a file begins as.
pub(super) fn begins_as(file: &WeightFile) -> Option<Content> {
    let start = file.read_vec(0, file.len().min(START) as usize).ok()?;
    Content::of(&start)
}

/// What a file is that cannot be read in its format, if that can be told.
fn not_weights(file: &WeightFile, format: Format) -> Option<WeightError> {
    let found = begins_as(file)?;
    let own = match format {
        Format::Safetensors => Content::Safetensors,
        Format::Torch => Content::Zip,
        Format::Gguf => Content::Gguf,
    };
    (found != own).then(|| WeightError::NotWeights {
        path: file.path().to_owned(),
        found,
    })
}
