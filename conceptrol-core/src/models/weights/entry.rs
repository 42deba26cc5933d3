use std::{fmt, sync::Arc};

use super::{dtype::StoredDType, file::WeightFile};

/// Name, element type and shape of one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Dotted name, as the file has it or as the model asks for it.
    pub name: String,
    /// How its elements are stored.
    pub dtype: StoredDType,
    /// Axis lengths, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
}

impl TensorInfo {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

impl fmt::Display for TensorInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {}", self.name, self.shape, self.dtype)
    }
}

/// Where one tensor of a checkpoint lies. Its bytes are the concatenation of `parts`.
///
/// Everything is validated before an entry exists: the byte count of the parts is the product of shape and
/// element size, and each part lies inside its file.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) dtype: StoredDType,
    pub(super) shape: Vec<usize>,
    pub(super) parts: Vec<Part>,
}

/// A contiguous piece of a file.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) file: Arc<WeightFile>,
    pub(super) offset: u64,
    pub(super) len: usize,
}

/// Bytes that `shape` elements of `dtype` take, or nothing if the number does not fit.
pub(super) fn byte_len(shape: &[usize], dtype: StoredDType) -> Option<usize> {
    shape
        .iter()
        .try_fold(dtype.size(), |bytes, axis| bytes.checked_mul(*axis))
}
