//! Writing tensors as a safetensors file, one in memory at a time.

use std::{borrow::Cow, cell::RefCell, collections::HashMap, io, path::Path};

use burn::tensor::FloatDType;
use safetensors::{Dtype, SafeTensorError, View, tensor::serialize_to_file};

use super::{
    convert,
    dtype::StoredDType,
    entry::{Entries, Entry},
    error::WeightError,
};
use crate::models::file::write_whole;

/// Writes all tensors, cast to `dtype` or as they are stored.
pub(super) fn write(
    path: &Path,
    entries: &Entries,
    dtype: Option<FloatDType>,
) -> Result<(), WeightError> {
    let failure = RefCell::new(None);
    let mut views = Vec::with_capacity(entries.len());
    for (name, entry) in entries {
        let refuse = |reason: String| WeightError::Map {
            path: path.to_owned(),
            name: name.clone(),
            shape: entry.shape.clone(),
            reason,
        };
        let target = match dtype.filter(|_| entry.dtype.is_float()) {
            Some(dtype) => Target::Cast(dtype),
            None => as_stored(entry).map_err(refuse)?,
        };
        views.push((
            name,
            Tensor {
                entry,
                target,
                failure: &failure,
            },
        ));
    }
    // what transformers asks for
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let io = |source| WeightError::Write {
        path: path.to_owned(),
        source,
    };
    let written = write_whole(path, |file| {
        serialize_to_file(views, Some(metadata), file.path()).map_err(|error| match error {
            SafeTensorError::IoError(error) => error,
            other => io::Error::other(other),
        })
    });
    // what could not be read comes first
    match failure.into_inner() {
        Some(error) => Err(error),
        None => written.map_err(io),
    }
}

/// How a tensor is written.
#[derive(Debug, Clone, Copy)]
enum Target {
    /// The bytes of the file.
    Bytes(Dtype),
    Cast(FloatDType),
}

impl Target {
    fn dtype(self) -> Dtype {
        match self {
            Self::Bytes(dtype) => dtype,
            Self::Cast(FloatDType::F64) => Dtype::F64,
            Self::Cast(FloatDType::F32 | FloatDType::Flex32) => Dtype::F32,
            Self::Cast(FloatDType::F16) => Dtype::F16,
            Self::Cast(FloatDType::BF16) => Dtype::BF16,
        }
    }
}

/// Without a cast, which permuted numbers need to be put in order and blocks to be numbers.
fn as_stored(entry: &Entry) -> Result<Target, String> {
    let own = match entry.dtype {
        StoredDType::F64 => Some(FloatDType::F64),
        StoredDType::F32 => Some(FloatDType::F32),
        StoredDType::F16 => Some(FloatDType::F16),
        StoredDType::BF16 => Some(FloatDType::BF16),
        _ => None,
    };
    let plain = entry.strides.is_none() && entry.scale.is_none();
    match (entry.dtype.to_safetensors().filter(|_| plain), own) {
        (Some(dtype), _) => Ok(Target::Bytes(dtype)),
        (None, Some(dtype)) => Ok(Target::Cast(dtype)),
        (None, None) => Err(format!(
            "it is quantised ({}): a type to write must be given",
            entry.dtype
        )),
    }
}

struct Tensor<'a> {
    entry: &'a Entry,
    target: Target,
    /// The first tensor that could not be read.
    failure: &'a RefCell<Option<WeightError>>,
}

impl Tensor<'_> {
    fn read(&self) -> Result<Vec<u8>, WeightError> {
        match self.target {
            Target::Cast(dtype) => Ok(convert::read(self.entry, dtype)?.as_bytes().to_vec()),
            Target::Bytes(_) => {
                self.entry.verify()?;
                let mut bytes = vec![0; self.entry.stored_bytes()];
                let mut rest = bytes.as_mut_slice();
                for part in &self.entry.parts {
                    let (into, tail) = rest.split_at_mut(part.len);
                    let read = part.file.read_at(into, part.offset);
                    read.map_err(|source| part.file.error(source))?;
                    rest = tail;
                }
                Ok(bytes)
            }
        }
    }
}

impl View for Tensor<'_> {
    fn dtype(&self) -> Dtype {
        self.target.dtype()
    }

    fn shape(&self) -> &[usize] {
        &self.entry.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self.read() {
            Ok(bytes) => Cow::Owned(bytes),
            Err(error) => {
                self.failure.borrow_mut().get_or_insert(error);
                Cow::Owned(vec![0; self.data_len()])
            }
        }
    }

    fn data_len(&self) -> usize {
        let elements: usize = self.entry.shape.iter().product();
        elements * self.target.dtype().bitsize() / 8
    }
}
