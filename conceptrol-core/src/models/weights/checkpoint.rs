use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use burn::tensor::{DType, Device, FloatDType, Tensor};

use super::{
    convert,
    dtype::StoredDType,
    entry::{Entry, TensorInfo},
    error::WeightError,
    safetensors,
};

/// The tensors of one or several files, validated and not yet read.
///
/// Cheap to clone. Opening reads headers only: a few milliseconds and a few megabytes for a file of any size.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    path: PathBuf,
    entries: Arc<BTreeMap<String, Entry>>,
}

impl Checkpoint {
    /// Opens a `.safetensors` file.
    ///
    /// # Errors
    ///
    /// [`WeightError`] for a file that cannot be read, has another format, is cut short, or whose header contradicts
    /// itself or the file's length.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, WeightError> {
        let path = path.as_ref();
        let name = path.to_string_lossy();
        let entries = if name.ends_with(".safetensors") {
            safetensors::open(path)?
        } else {
            return Err(WeightError::UnknownFormat {
                path: path.to_owned(),
            });
        };
        Ok(Self {
            path: path.to_owned(),
            entries: Arc::new(entries),
        })
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

    /// Element type and shape of a tensor.
    pub fn get(&self, name: &str) -> Option<(StoredDType, &[usize])> {
        let entry = self.entries.get(name)?;
        Some((entry.dtype, &entry.shape))
    }

    /// Reads one tensor, cast to `dtype`.
    ///
    /// Nothing if there is no floating point tensor of that name with `D` axes.
    ///
    /// # Errors
    ///
    /// [`WeightError::Io`] if the file cannot be read any more.
    pub fn load<const D: usize>(
        &self,
        name: &str,
        device: &Device,
        dtype: FloatDType,
    ) -> Result<Option<Tensor<D>>, WeightError> {
        match self.entries.get(name) {
            Some(entry) if entry.shape.len() == D && entry.dtype.is_float() => {
                read(entry, device, dtype).map(Some)
            }
            _ => Ok(None),
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }
}

fn read<const D: usize>(
    entry: &Entry,
    device: &Device,
    dtype: FloatDType,
) -> Result<Tensor<D>, WeightError> {
    let data = convert::read(entry, dtype)?;
    // Weights outlive everything else on the device: keep them out of the pools that are reused.
    Ok(device.memory_persistent_allocations(data, |data| {
        Tensor::from_data(data, (device, DType::from(dtype)))
    }))
}
