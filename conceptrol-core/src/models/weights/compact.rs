//! Matrices that stay in memory in fewer bytes than the numbers that are computed with.

use std::sync::Arc;

use burn::tensor::{AllocationProperty, Bytes, Device, FloatDType};

use super::{
    convert::{self, BLOCK, Piece},
    dtype::StoredDType,
    entry::Entry,
    error::WeightError,
    parallel,
    scale::Scale,
    spares::Spares,
};
use crate::kernel::{self, BlockFormat, CompactError, CompactFormat, CompactMatrix};

/// What the weights of linear layers take in memory; everything else is of the type that is computed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Keep {
    /// The type that is computed in.
    #[default]
    Computed,
    /// What they take in the file, where that is less: 16-bit floats beside `f32`, fp8, the blocks of GGUF files. Results have the
    /// same bits as with [`Computed`](Self::Computed).
    Stored,
    /// Rounded to blocks of 8 bits a number (8.5 with the scale) as they are read, unless the file has them in as few.
    Q8_0,
    /// Rounded to blocks of 4 bits a number (4.5 with the scale) as they are read, unless the file has them in as few.
    Q4_0,
}

/// How one matrix is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    AsStored(CompactFormat),
    Rounded(BlockFormat),
}

impl Keep {
    /// How a matrix with rows of `columns` elements is kept, if not in the type that is computed in.
    ///
    /// Rows that are not whole blocks are not rounded.
    pub(super) fn of(
        self,
        stored: StoredDType,
        columns: usize,
        computed: FloatDType,
    ) -> Option<Kept> {
        let whole = |block: usize| columns.is_multiple_of(block);
        let size = StoredDType::from(computed).size();
        let as_stored =
            (stored.compact()).filter(|format| format.is_below(size) && whole(format.elements()));
        let target = match self {
            Self::Computed => return None,
            Self::Stored => return as_stored.map(Kept::AsStored),
            Self::Q8_0 => BlockFormat::Q8_0,
            Self::Q4_0 => BlockFormat::Q4_0,
        };
        let as_few = |format: &CompactFormat| {
            format.bytes() * target.elements() <= target.bytes() * format.elements()
        };
        match as_stored {
            Some(format) if as_few(&format) || !whole(target.elements()) => {
                Some(Kept::AsStored(format))
            }
            _ => whole(target.elements()).then_some(Kept::Rounded(target)),
        }
    }

    /// What is done on this device: where it has no kernels that multiply with fewer bytes, weights take the type that is computed
    /// in unless they are to be rounded. Rounded ones then stay in the machine's memory, and each is widened and brought to the
    /// device whenever it is used, which takes much longer.
    #[must_use]
    pub fn on(self, device: &Device) -> Self {
        match self {
            Self::Stored if !kernel::on_host(device) => Self::Computed,
            keep => keep,
        }
    }

    /// Bytes that a tensor of this shape takes, if it is the weight of a linear layer.
    pub(crate) fn bytes(self, stored: StoredDType, shape: &[usize], computed: FloatDType) -> u64 {
        let elements = shape
            .iter()
            .fold(1u64, |all, axis| all.saturating_mul(*axis as u64));
        let kept = match shape {
            [_, columns] => self.of(stored, *columns, computed),
            _ => None,
        };
        let (block, bytes) = match kept {
            Some(Kept::AsStored(format)) => (format.elements(), format.bytes()),
            Some(Kept::Rounded(format)) => (format.elements(), format.bytes()),
            None => (1, StoredDType::from(computed).size()),
        };
        (elements / block as u64).saturating_mul(bytes as u64)
    }
}

/// Why a matrix could not be read.
#[derive(Debug)]
pub(super) enum Failure {
    Weight(WeightError),
    Compact(CompactError),
}

impl From<WeightError> for Failure {
    fn from(error: WeightError) -> Self {
        Self::Weight(error)
    }
}

impl From<CompactError> for Failure {
    fn from(error: CompactError) -> Self {
        Self::Compact(error)
    }
}

/// Reads a matrix of `shape`, one piece after the other: nothing is in memory as numbers but a few thousand of them.
pub(super) fn read(
    entry: &Entry,
    shape: [usize; 2],
    kept: Kept,
    spares: Option<&Arc<Spares>>,
) -> Result<CompactMatrix, Failure> {
    entry.verify()?;
    match kept {
        Kept::AsStored(format) => {
            let factors = match &entry.scale {
                Some(scale) => convert::read_f32(scale)?,
                None => Vec::new(),
            };
            Ok(CompactMatrix::new(
                format,
                shape,
                bytes(entry, spares)?,
                factors,
            )?)
        }
        Kept::Rounded(format) => {
            let bytes = Bytes::from_elems(rounded(entry, format)?);
            let format = CompactFormat::Blocks(format);
            Ok(CompactMatrix::new(format, shape, bytes, Vec::new())?)
        }
    }
}

/// The bytes of all parts; shared where they are in memory in one piece.
fn bytes(entry: &Entry, spares: Option<&Arc<Spares>>) -> Result<Bytes, WeightError> {
    if let [part] = &*entry.parts
        && let Some(shared) = part.file.share(part.offset, part.len)
    {
        return Ok(Bytes::from_shared(shared, AllocationProperty::File));
    }
    let len = entry.stored_bytes();
    if let Some(spares) = spares {
        let mut buffer = spares.take(len);
        read_into(entry, buffer.bytes_mut())?;
        return Ok(Bytes::from_shared(
            buffer.share(),
            AllocationProperty::Native,
        ));
    }
    let mut bytes = vec![0u8; len];
    read_into(entry, &mut bytes)?;
    Ok(Bytes::from_elems(bytes))
}

fn read_into(entry: &Entry, mut rest: &mut [u8]) -> Result<(), WeightError> {
    for part in &entry.parts {
        let (into, tail) = rest.split_at_mut(part.len);
        rest = tail;
        let read =
            |first: usize, run: &mut [u8]| part.file.read_at(run, part.offset + first as u64);
        parallel::in_runs(into, 1, read).map_err(|source| part.file.error(source))?;
    }
    Ok(())
}

/// Elements that are read at a time to be rounded.
const ROUNDED_AT_ONCE: usize = 16 * BLOCK;

fn rounded(entry: &Entry, format: BlockFormat) -> Result<Vec<u8>, Failure> {
    let encoded = |elements: usize| elements / format.elements() * format.bytes();
    let scale = Scale::of(entry)?;
    let elements: usize = Piece::of(entry, None).map(|piece| piece.elements()).sum();
    let mut bytes = vec![0u8; encoded(elements)];
    let mut rest = bytes.as_mut_slice();
    for piece in Piece::of(entry, scale.as_ref()) {
        let (into, tail) = rest.split_at_mut(encoded(piece.elements()));
        rest = tail;
        parallel::in_runs(into, encoded(BLOCK), |first, run| {
            let mut first = first / format.bytes() * format.elements();
            let mut numbers = vec![0f32; ROUNDED_AT_ONCE];
            for run in run.chunks_mut(encoded(ROUNDED_AT_ONCE)) {
                let elements = run.len() / format.bytes() * format.elements();
                let numbers = &mut numbers[..elements];
                let read = piece.read_run(first, numbers);
                read.map_err(|source| piece.error(source))?;
                format.encode(numbers, run)?;
                first += elements;
            }
            Ok::<_, Failure>(())
        })?;
    }
    Ok(bytes)
}
