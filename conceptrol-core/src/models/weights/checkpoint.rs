use std::{
    collections::BTreeMap,
    ops::Bound,
    path::{Path, PathBuf},
    sync::Arc,
};

use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use bytes::Bytes;

use super::{
    compact::{self, Failure, Keep},
    convert,
    dtype::StoredDType,
    entry::{Entries, Entry, TensorInfo},
    error::WeightError,
    file::WeightFile,
    map::{self, KeyRule},
    open::{self, Files, Format},
    safetensors,
    spares::Spares,
    torch, write,
};
use crate::{kernel::CompactMatrix, models::file::Content};

/// The tensors of one or several files, validated and not yet read.
///
/// Cheap to clone. Opening reads headers only: a few milliseconds and a few megabytes for a file of any size.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    path: PathBuf,
    entries: Arc<Entries>,
}

impl Checkpoint {
    /// Opens a `.safetensors` file, a torch file (`.bin`, `.pt`, `.pth`, `.ckpt`; its pickle is parsed and nothing in
    /// it is executed), the `.index.json` of a sharded checkpoint, or a folder that holds one of these under the name
    /// that diffusers or transformers gives it.
    ///
    /// # Errors
    ///
    /// [`WeightError`] for a file that cannot be read, has another format, is cut short, or whose header contradicts
    /// itself or the file's length; and for an absent shard.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, WeightError> {
        Self::open_as(path, Files::Read)
    }

    /// As [`open`](Self::open), with files that are read or mapped.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub fn open_as(path: impl AsRef<Path>, files: Files) -> Result<Self, WeightError> {
        let (path, entries) = open::path(path.as_ref(), files)?;
        Ok(Self {
            path,
            entries: Arc::new(entries),
        })
    }

    /// Reads a checkpoint that is in memory already; `name` stands for it in messages.
    ///
    /// Tensors that are taken with the element type they are stored with share this memory, if they lie in order and
    /// aligned in it: no copy is made. So weights can be part of the program:
    ///
    /// ```no_run
    /// use bytes::Bytes;
    /// use conceptrol_core::models::weights::{Checkpoint, Format};
    ///
    /// # let file: &'static [u8] = &[];
    /// // let file = include_bytes!("unet.safetensors");
    /// let checkpoint = Checkpoint::from_bytes("the UNet", Format::Safetensors, Bytes::from_static(file))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open) that are about content.
    pub fn from_bytes(
        name: impl AsRef<Path>,
        format: Format,
        bytes: impl Into<Bytes>,
    ) -> Result<Self, WeightError> {
        let file = WeightFile::from_bytes(name.as_ref(), bytes.into());
        Ok(Self {
            path: name.as_ref().to_owned(),
            entries: Arc::new(open::content(file, format)?),
        })
    }

    /// The same tensors under the names and in the layouts that `rules` give them.
    ///
    /// The first rule that matches a name is applied; a name without a rule stays as it is. No data is read or moved:
    /// pieces of a fused tensor are views of the file.
    ///
    /// # Errors
    ///
    /// [`WeightError::Map`] if a tensor cannot be cut as a rule says, or two tensors get the same name.
    pub fn map(&self, rules: &[KeyRule<'_>]) -> Result<Self, WeightError> {
        Ok(Self {
            path: self.path.clone(),
            entries: Arc::new(map::apply(&self.path, &self.entries, rules)?),
        })
    }

    /// As [`map`](Self::map), the other way round: tensors get the names and layouts that `rules` take them from, and what is
    /// cut is fused. One table so serves both directions.
    ///
    /// ```
    /// use conceptrol_core::models::weights::{Checkpoint, Format, KeyRule};
    ///
    /// # let header = br#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}"#;
    /// # let file = [&(header.len() as u64).to_le_bytes(), &header[..], &[0; 16]].concat();
    /// let checkpoint = Checkpoint::from_bytes("memory", Format::Safetensors, file)?; // a [2], b [2]
    /// let fused = checkpoint.unmap(&[KeyRule::rows("ab", &[("a", 1), ("b", 1)])])?;
    /// assert_eq!(fused.get("ab").expect("fused").1, [4]);
    /// # Ok::<(), conceptrol_core::models::weights::WeightError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`WeightError::Map`] if a piece is not there or cannot be put beside the others, or two tensors get the same name.
    pub fn unmap(&self, rules: &[KeyRule<'_>]) -> Result<Self, WeightError> {
        Ok(Self {
            path: self.path.clone(),
            entries: Arc::new(map::unapply(&self.path, &self.entries, rules)?),
        })
    }

    /// Only the tensors whose names begin with `prefix`, without it. An empty checkpoint if there is none.
    #[must_use]
    pub fn strip_prefix(&self, prefix: &str) -> Self {
        self.rename(|name| name.strip_prefix(prefix).map(str::to_owned))
    }

    /// The tensors below the first of `prefixes` that one of `marks` is below, without it; all of them if there is none. So a
    /// model is found in a file that holds others as well.
    #[must_use]
    pub fn below(&self, prefixes: &[&str], marks: &[&str]) -> Self {
        let marked = |prefix: &&&str| {
            let mut marks = marks.iter();
            marks.any(|mark| self.contains(&format!("{prefix}{mark}")))
        };
        match prefixes.iter().find(marked) {
            Some(prefix) => self.strip_prefix(prefix),
            None => self.clone(),
        }
    }

    /// The tensors for which `rename` returns a name, under that name.
    ///
    /// Of several tensors that get the same name, the last in the order of the old names is kept.
    #[must_use]
    pub fn rename(&self, rename: impl Fn(&str) -> Option<String>) -> Self {
        let renamed = |(name, entry): (&String, &Entry)| Some((rename(name)?, entry.clone()));
        Self {
            path: self.path.clone(),
            entries: Arc::new(self.entries.iter().filter_map(renamed).collect()),
        }
    }

    /// Several checkpoints as one, each with a prefix before its names.
    ///
    /// # Errors
    ///
    /// [`WeightError::Map`] if two tensors get the same name.
    pub fn together(
        path: impl AsRef<Path>,
        parts: impl IntoIterator<Item = (&'static str, Self)>,
    ) -> Result<Self, WeightError> {
        let path = path.as_ref();
        let mut entries = Entries::new();
        for (prefix, part) in parts {
            for (name, entry) in part.entries.iter() {
                let full = format!("{prefix}{name}");
                if entries.insert(full.clone(), entry.clone()).is_some() {
                    return Err(WeightError::Map {
                        path: path.to_owned(),
                        name: name.clone(),
                        shape: entry.shape.clone(),
                        reason: format!("another tensor is called {full} as well"),
                    });
                }
            }
        }
        Ok(Self {
            path: path.to_owned(),
            entries: Arc::new(entries),
        })
    }

    /// Writes all tensors as a safetensors file, cast to `dtype` or as they are stored. The file appears whole or not at all;
    /// one tensor at a time is in memory.
    ///
    /// # Errors
    ///
    /// [`WeightError::Write`], [`WeightError::Io`] if a tensor cannot be read, and [`WeightError::Map`] for one that is
    /// quantised where no `dtype` is given.
    pub fn write(
        &self,
        path: impl AsRef<Path>,
        dtype: Option<FloatDType>,
    ) -> Result<(), WeightError> {
        write::write(path.as_ref(), &self.entries, dtype)
    }

    /// The path it was opened from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every tensor, ordered by name.
    pub fn tensors(&self) -> impl Iterator<Item = TensorInfo> + '_ {
        self.entries.iter().map(|(name, entry)| TensorInfo {
            name: name.clone(),
            dtype: entry.dtype,
            shape: entry.shape.clone(),
        })
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no tensor at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a tensor of this full name is there.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Whether a tensor's name begins with `prefix`.
    pub fn has_below(&self, prefix: &str) -> bool {
        let mut from_here = self
            .entries
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        from_here
            .next()
            .is_some_and(|(name, _)| name.starts_with(prefix))
    }

    /// Element type and shape of a tensor.
    pub fn get(&self, name: &str) -> Option<(StoredDType, &[usize])> {
        let entry = self.entries.get(name)?;
        Some((entry.dtype, &entry.shape))
    }

    /// Compares the values with the checksums of the file, which reads them once. A torch file has a CRC-32 for each
    /// storage, and reading a tensor compares that of its storage as well; safetensors files have none.
    ///
    /// # Errors
    ///
    /// [`WeightError::Checksum`] for the first tensor that is damaged, [`WeightError::Io`] if the file cannot be read
    /// any more.
    pub fn verify(&self) -> Result<(), WeightError> {
        self.entries.values().try_for_each(Entry::verify)
    }

    /// Reads one tensor, cast to `dtype`.
    ///
    /// Nothing if there is no floating point tensor of that name with `D` axes. A 1x1 convolution `[out, in, 1, 1]` also
    /// reads as the matrix it is.
    ///
    /// # Errors
    ///
    /// [`WeightError::Io`] if the file cannot be read any more, [`WeightError::Checksum`] if its values are damaged.
    pub fn load<const D: usize>(
        &self,
        name: &str,
        device: &Device,
        dtype: FloatDType,
    ) -> Result<Option<Tensor<D>>, WeightError> {
        self.load_with(name, device, dtype, None)
    }

    /// As [`load`](Self::load), into a spare buffer.
    pub(super) fn load_with<const D: usize>(
        &self,
        name: &str,
        device: &Device,
        dtype: FloatDType,
        spares: Option<&Arc<Spares>>,
    ) -> Result<Option<Tensor<D>>, WeightError> {
        let entry = self
            .entries
            .get(name)
            .filter(|entry| entry.dtype.is_float());
        let found = entry.and_then(|entry| Some((entry, axes::<D>(&entry.shape)?)));
        match found {
            Some((entry, shape)) => read(entry, shape, device, dtype, spares).map(Some),
            None => Ok(None),
        }
    }

    /// Reads a matrix to stay in fewer bytes than numbers of `computed` take, as `keep` says.
    ///
    /// Nothing if there is no floating point tensor of that name and shape, or it is to be of the type that is computed in: see
    /// [`load`](Self::load).
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load), and [`WeightError::Compact`] for numbers that cannot be rounded.
    pub fn load_compact(
        &self,
        name: &str,
        shape: [usize; 2],
        keep: Keep,
        computed: FloatDType,
    ) -> Result<Option<CompactMatrix>, WeightError> {
        self.load_compact_with(name, shape, keep, computed, None)
    }

    /// As [`load_compact`](Self::load_compact), into a spare buffer.
    pub(super) fn load_compact_with(
        &self,
        name: &str,
        shape: [usize; 2],
        keep: Keep,
        computed: FloatDType,
        spares: Option<&Arc<Spares>>,
    ) -> Result<Option<CompactMatrix>, WeightError> {
        let entry = self.entries.get(name).filter(|entry| {
            entry.dtype.is_float() && axes(&entry.shape) == Some(shape) && entry.strides.is_none()
        });
        let kept = entry.and_then(|entry| Some((entry, keep.of(entry.dtype, shape[1], computed)?)));
        let Some((entry, kept)) = kept else {
            return Ok(None);
        };
        match compact::read(entry, shape, kept, spares) {
            Ok(matrix) => Ok(Some(matrix)),
            Err(Failure::Weight(error)) => Err(error),
            Err(Failure::Compact(source)) => Err(WeightError::Compact {
                path: self.path.clone(),
                name: name.to_owned(),
                source,
            }),
        }
    }

    /// Reads one tensor in f32 as a matrix: its first axis and all others as one.
    ///
    /// Nothing if there is no floating point tensor of that name, or one without axes.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load).
    pub fn load_matrix(
        &self,
        name: &str,
        device: &Device,
    ) -> Result<Option<Tensor<2>>, WeightError> {
        let entry = self
            .entries
            .get(name)
            .filter(|entry| entry.dtype.is_float());
        match entry.map(|entry| (entry, entry.shape.as_slice())) {
            Some((entry, [rows, columns @ ..])) => {
                let mut columns = columns.iter();
                // of a tensor without elements the axes may be any
                let columns = columns.try_fold(1_usize, |all, axis| all.checked_mul(*axis));
                let shape = columns.map(|columns| [*rows, columns]);
                let loaded = shape.map(|shape| read(entry, shape, device, FloatDType::F32, None));
                loaded.transpose()
            }
            _ => Ok(None),
        }
    }

    /// Reads all values of a tensor to the host, as f32.
    ///
    /// # Errors
    ///
    /// [`WeightError::NoTensor`] if there is no floating point tensor of that name, and those of [`load`](Self::load).
    pub fn values(&self, name: &str) -> Result<Vec<f32>, WeightError> {
        match self
            .entries
            .get(name)
            .filter(|entry| entry.dtype.is_float())
        {
            Some(entry) => convert::read_f32(entry),
            None => Err(WeightError::NoTensor {
                path: self.path.clone(),
                name: name.to_owned(),
            }),
        }
    }

    /// Reads the only element of a tensor of any number type, such as a LoRA's `alpha`.
    ///
    /// Nothing if there is no tensor of numbers of that name with one element.
    ///
    /// # Errors
    ///
    /// [`WeightError::Io`] if the file cannot be read any more, [`WeightError::Checksum`] if its values are damaged.
    pub fn scalar(&self, name: &str) -> Result<Option<f32>, WeightError> {
        match self.entries.get(name) {
            Some(entry) if entry.shape.iter().all(|axis| *axis == 1) => convert::scalar(entry),
            _ => Ok(None),
        }
    }

    /// The texts that a file carries beside its tensors: the metadata of a safetensors file, those in the dictionary of a torch
    /// file.
    ///
    /// # Errors
    ///
    /// [`WeightError::Io`] if the file cannot be read any more, [`WeightError::Malformed`] if the texts are no texts.
    pub fn metadata(&self) -> Result<BTreeMap<String, String>, WeightError> {
        let part = self.entries.values().find_map(|entry| entry.parts.first());
        let Some(file) = part.map(|part| &part.file) else {
            return Ok(BTreeMap::new());
        };
        match open::begins_as(file) {
            Some(Content::Safetensors) => safetensors::metadata(file),
            Some(Content::Gguf) => Ok(BTreeMap::new()),
            _ => torch::texts(file),
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }
}

/// The shape as `D` axes, if it has as many apart from the two of a 1x1 kernel.
pub(super) fn axes<const D: usize>(shape: &[usize]) -> Option<[usize; D]> {
    let shape = match shape.strip_suffix(&[1, 1]) {
        Some(matrix) if matrix.len() == D => matrix,
        _ => shape,
    };
    shape.try_into().ok()
}

fn read<const D: usize>(
    entry: &Entry,
    shape: [usize; D],
    device: &Device,
    dtype: FloatDType,
    spares: Option<&Arc<Spares>>,
) -> Result<Tensor<D>, WeightError> {
    let (bytes, _, stored) = convert::read_with(entry, dtype, spares)?.into_parts();
    let data = TensorData::from_bytes(bytes, shape, stored);
    // Weights outlive everything else on the device: keep them out of the pools that are reused.
    Ok(device.memory_persistent_allocations(data, |data| {
        Tensor::from_data(data, (device, DType::from(dtype)))
    }))
}
