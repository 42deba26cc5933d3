use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use super::dtype::StoredDType;
use crate::{
    kernel::CompactError,
    message::{shown, shown_path},
    models::file::Content,
};

/// Why a checkpoint could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightError {
    /// The operating system refused.
    #[error("cannot read {}", shown_path(path))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A tensor is not there, or is none of numbers.
    #[error("{}: no floating point tensor {}", shown_path(path), shown(name))]
    NoTensor {
        /// The file.
        path: PathBuf,
        /// Name of the tensor.
        name: String,
    },
    /// The operating system refused to write.
    #[error("cannot write {}", shown_path(path))]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The name does not end in one of the endings of a checkpoint.
    #[error(
        "{}: not a checkpoint name (expected .safetensors, .safetensors.index.json, .bin, .pt, .pth, .ckpt or .gguf)",
        shown_path(path)
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// A folder without any of the usual checkpoint names.
    #[error(
        "{}: no checkpoint in this folder (looked for {looked_for})",
        shown_path(path)
    )]
    NoCheckpoint {
        /// The folder.
        path: PathBuf,
        /// The names tried.
        looked_for: String,
    },
    /// The file ends before something it announces.
    #[error(
        "{}: {} needs {needed} bytes but the file has {available}",
        shown_path(path),
        shown(what)
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// What was announced.
        what: String,
        /// Bytes the file would have to have.
        needed: u64,
        /// Bytes it has.
        available: u64,
    },
    /// A length beyond what any real checkpoint has, refused before memory is reserved for it.
    #[error(
        "{}: {what} of {len} bytes exceeds the limit of {limit}",
        shown_path(path)
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What is too large.
        what: &'static str,
        /// Its announced length.
        len: u64,
        /// The limit.
        limit: u64,
    },
    /// A header, index or pickle that does not follow its format.
    #[error("{}: {}", shown_path(path), shown(reason))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, in lower case.
        reason: String,
    },
    /// Two tensors claim the same bytes.
    #[error(
        "{}: {} starts at byte {start} inside {}, which ends at byte {end}",
        shown_path(path),
        shown(second),
        shown(first)
    )]
    Overlap {
        /// The file.
        path: PathBuf,
        /// The tensor that comes first.
        first: String,
        /// The tensor that starts too early.
        second: String,
        /// End of the first.
        end: u64,
        /// Start of the second.
        start: u64,
    },
    /// Shape and dtype of a tensor do not multiply to the bytes it has.
    #[error(
        "{}: {} {} of {dtype} has {bytes} bytes where its shape takes {}",
        shown_path(path),
        shown(name),
        Axes(shape),
        expected.map_or_else(|| "more than can be addressed".to_owned(), |bytes| bytes.to_string())
    )]
    ByteCount {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its dtype.
        dtype: StoredDType,
        /// Its shape.
        shape: Vec<usize>,
        /// Bytes its offsets span.
        bytes: u64,
        /// Bytes the shape takes; nothing if that overflows.
        expected: Option<usize>,
    },
    /// The file holds something else: a pointer to the weights, a web page, an archive.
    #[error("{}: {found}, not {}", shown_path(path), if *found == Content::LfsPointer { "the weights" } else { "weights" })]
    NotWeights {
        /// The file.
        path: PathBuf,
        /// What is in it.
        found: Content,
    },
    /// Bytes of an archive are not those that were put into it.
    #[error(
        "{}: {} is damaged: its checksum is {found:08x}, the archive says {expected:08x}",
        shown_path(path),
        shown(what)
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The member of the archive.
        what: String,
        /// The CRC-32 that the archive gives.
        expected: u32,
        /// The CRC-32 of the bytes.
        found: u32,
    },
    /// A file of a sharded checkpoint is not there.
    #[error(
        "{}: shard {} is missing ({tensors} tensors are in it)",
        shown_path(path),
        shown(shard)
    )]
    MissingShard {
        /// The index.
        path: PathBuf,
        /// The absent file.
        shard: String,
        /// How many tensors the index places in it.
        tensors: usize,
    },
    /// A weight cannot be kept in fewer bytes.
    #[error("{}: {}", shown_path(path), shown(name))]
    Compact {
        /// The file.
        path: PathBuf,
        /// The weight.
        name: String,
        /// Why.
        source: CompactError,
    },
    /// A key rule does not fit the tensor it matches.
    #[error(
        "{}: cannot map {} {}: {}",
        shown_path(path),
        shown(name),
        Axes(shape),
        shown(reason)
    )]
    Map {
        /// The file.
        path: PathBuf,
        /// The stored tensor.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// What does not fit.
        reason: String,
    },
    /// The tensors of the file are not those of the model.
    #[error(transparent)]
    Mismatch(Box<Mismatch>),
}

/// All differences between what a model asked for and what a checkpoint holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mismatch {
    /// The checkpoint.
    pub path: PathBuf,
    /// How many tensors were found as asked for.
    pub matched: usize,
    /// Asked for and not there.
    pub missing: Vec<MissingTensor>,
    /// There and never asked for.
    pub unexpected: Vec<String>,
    /// There, but not as asked for.
    pub wrong: Vec<WrongTensor>,
}

impl Mismatch {
    /// Tensors that nobody asked for, beside `matched` others.
    pub(crate) fn unexpected(path: &Path, matched: usize, unexpected: Vec<String>) -> Self {
        Self {
            path: path.to_owned(),
            matched,
            missing: Vec::new(),
            unexpected,
            wrong: Vec::new(),
        }
    }
}

impl From<Mismatch> for WeightError {
    fn from(mismatch: Mismatch) -> Self {
        Self::Mismatch(Box::new(mismatch))
    }
}

/// A tensor the model needs and the checkpoint lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingTensor {
    /// Its full name.
    pub name: String,
    /// The shape the model wanted.
    pub shape: Vec<usize>,
    /// The unused stored name closest to it, for the entries the message shows.
    pub closest: Option<String>,
}

/// A tensor of the right name and the wrong shape or type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongTensor {
    /// Its full name.
    pub name: String,
    /// The shape the model wanted.
    pub expected: Vec<usize>,
    /// The shape in the file.
    pub found: Vec<usize>,
    /// The type in the file.
    pub dtype: StoredDType,
}

/// How many names of each list a message spells out.
pub(super) const SHOWN: usize = 8;

impl std::error::Error for Mismatch {}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: not the checkpoint this model needs ({} tensors match, {} missing, {} unexpected, {} of the wrong shape or type)",
            shown_path(&self.path),
            self.matched,
            self.missing.len(),
            self.unexpected.len(),
            self.wrong.len()
        )?;
        list(f, "missing", &self.missing, |f, tensor| {
            write!(f, "{} {:?}", shown(&tensor.name), tensor.shape)?;
            match &tensor.closest {
                Some(name) => write!(f, " (closest: {})", shown(name)),
                None => Ok(()),
            }
        })?;
        list(f, "unexpected", &self.unexpected, |f, name| {
            write!(f, "{}", shown(name))
        })?;
        list(f, "wrong", &self.wrong, |f, tensor| {
            write!(
                f,
                "{} is {} {}, expected {:?}",
                shown(&tensor.name),
                Axes(&tensor.found),
                tensor.dtype,
                tensor.expected
            )
        })
    }
}

/// A shape from a file, which may have any number of axes.
struct Axes<'a>(&'a [usize]);

impl fmt::Display for Axes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.get(..SHOWN) {
            Some(first) if self.0.len() > SHOWN => {
                write!(f, "{first:?} and {} more axes", self.0.len() - SHOWN)
            }
            _ => write!(f, "{:?}", self.0),
        }
    }
}

/// One paragraph of a mismatch: a title and the first few items.
fn list<T>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    items: &[T],
    show: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    write!(f, "\n  {title}:")?;
    for item in items.iter().take(SHOWN) {
        f.write_str("\n    ")?;
        show(f, item)?;
    }
    match items.len().saturating_sub(SHOWN) {
        0 => Ok(()),
        rest => write!(f, "\n    and {rest} more"),
    }
}
