use std::{collections::BTreeMap, fmt, sync::Arc};

use super::{checksum::Checksum, dtype::StoredDType, error::WeightError, file::WeightFile};
use crate::message::shown;

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

    /// Bytes it takes in the file.
    pub fn bytes(&self) -> usize {
        self.elements() / self.dtype.block() * self.dtype.size()
    }
}

impl fmt::Display for TensorInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {}", shown(&self.name), self.shape, self.dtype)
    }
}

/// The tensors of a file by name.
pub(super) type Entries = BTreeMap<String, Entry>;

/// Where one tensor of a checkpoint lies. Its bytes are the concatenation of `parts`.
///
/// Everything is validated before an entry exists: the byte count of the parts is the product of shape and
/// element size, and each part lies inside its file.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) dtype: StoredDType,
    pub(super) shape: Vec<usize>,
    pub(super) parts: Vec<Part>,
    /// Elements from one index to the next, axis by axis, where a pickle stored a permuted tensor. The parts are then
    /// the elements between the first and the last, and may be more or fewer bytes than the shape takes.
    pub(super) strides: Option<Vec<usize>>,
    /// Factors on the elements, one or one for each index of the first axis.
    pub(super) scale: Option<Arc<Self>>,
}

impl Entry {
    /// A tensor whose elements lie in order in one piece of a file.
    pub(super) fn dense(dtype: StoredDType, shape: Vec<usize>, part: Part) -> Self {
        Self {
            dtype,
            shape,
            parts: vec![part],
            strides: None,
            scale: None,
        }
    }

    /// Bytes of all parts.
    pub(super) fn stored_bytes(&self) -> usize {
        self.parts.iter().map(|part| part.len).sum()
    }

    /// Compares the bytes with what the file says of them, where it says anything and nobody has looked yet.
    pub(super) fn verify(&self) -> Result<(), WeightError> {
        self.parts
            .iter()
            .filter_map(|part| Some((part.checksum.as_ref()?, &part.file)))
            .try_for_each(|(checksum, file)| checksum.verify(file))
    }
}

/// A contiguous piece of a file.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) file: Arc<WeightFile>,
    pub(super) offset: u64,
    pub(super) len: usize,
    /// That of the archive's member the piece is of.
    pub(super) checksum: Option<Arc<Checksum>>,
}

/// Bytes that `shape` elements of `dtype` take, or nothing if the number does not fit or they are not whole blocks.
pub(super) fn byte_len(shape: &[usize], dtype: StoredDType) -> Option<usize> {
    let elements = shape
        .iter()
        .try_fold(1_usize, |elements, axis| elements.checked_mul(*axis))?;
    let blocks = elements.checked_div(dtype.block())?;
    (elements % dtype.block() == 0)
        .then(|| blocks.checked_mul(dtype.size()))
        .flatten()
}
