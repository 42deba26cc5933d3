//! From stored bytes to tensor data, each element touched once.

use std::{io, sync::Arc};

use burn::tensor::{AllocationProperty, Bytes, Element, FloatDType, TensorData};
use bytemuck::Pod;
use half::{bf16, f16, slice::HalfFloatSliceExt};

use super::{
    dtype::StoredDType,
    entry::{Entry, Part},
    error::WeightError,
    parallel,
    scale::Scale,
    spares::Spares,
};
use crate::kernel::CompactFormat;

/// Reads the tensor and casts it to `dtype`; one that is in memory as it is wanted is shared.
pub(super) fn read(entry: &Entry, dtype: FloatDType) -> Result<TensorData, WeightError> {
    read_with(entry, dtype, None)
}

/// As [`read`], into a spare buffer.
pub(super) fn read_with(
    entry: &Entry,
    dtype: FloatDType,
    spares: Option<&Arc<Spares>>,
) -> Result<TensorData, WeightError> {
    entry.verify()?;
    match dtype {
        FloatDType::F64 => read_as::<f64>(entry, spares),
        FloatDType::F32 | FloatDType::Flex32 => read_as::<f32>(entry, spares),
        FloatDType::F16 => read_as::<f16>(entry, spares),
        FloatDType::BF16 => read_as::<bf16>(entry, spares),
    }
}

/// The first element, of a float or an integer type. Integers that could be signed or unsigned count as signed.
pub(super) fn scalar(entry: &Entry) -> Result<Option<f32>, WeightError> {
    let StoredDType::Int(bytes) = entry.dtype else {
        let first = match entry.dtype.is_float() {
            true => read(entry, FloatDType::F32)?.iter::<f32>().next(),
            false => None,
        };
        return Ok(first);
    };
    entry.verify()?;
    let Some(part) = entry.parts.first().filter(|part| part.len > 0) else {
        return Ok(None);
    };
    let mut raw = [0; 8];
    let raw_bytes = &mut raw[..usize::from(bytes).min(8)];
    (part.file.read_at(raw_bytes, part.offset)).map_err(|source| part.file.error(source))?;
    let unused = 64 - 8 * u32::from(bytes).min(8);
    Ok(Some((i64::from_le_bytes(raw) << unused >> unused) as f32))
}

/// The values in single precision.
pub(super) fn read_f32(entry: &Entry) -> Result<Vec<f32>, WeightError> {
    let data = read(entry, FloatDType::F32)?;
    Ok(data.iter::<f32>().collect())
}

/// A float type a tensor can be loaded as.
pub(super) trait Float: Element + Pod + Send {
    /// The stored type that needs no conversion.
    const STORED: StoredDType;

    /// Converts from single precision.
    fn encode(from: &[f32], into: &mut [Self]);
}

impl Float for f64 {
    const STORED: StoredDType = StoredDType::F64;

    fn encode(from: &[f32], into: &mut [Self]) {
        for (into, from) in into.iter_mut().zip(from) {
            *into = Self::from(*from);
        }
    }
}

impl Float for f32 {
    const STORED: StoredDType = StoredDType::F32;

    fn encode(from: &[f32], into: &mut [Self]) {
        into.copy_from_slice(from);
    }
}

impl Float for f16 {
    const STORED: StoredDType = StoredDType::F16;

    fn encode(from: &[f32], into: &mut [Self]) {
        into.convert_from_f32_slice(from);
    }
}

impl Float for bf16 {
    const STORED: StoredDType = StoredDType::BF16;

    fn encode(from: &[f32], into: &mut [Self]) {
        into.convert_from_f32_slice(from);
    }
}

fn read_as<T: Float>(
    entry: &Entry,
    spares: Option<&Arc<Spares>>,
) -> Result<TensorData, WeightError> {
    if let Some(shared) = share::<T>(entry) {
        return Ok(shared);
    }
    let elements: usize = Piece::of(entry, None).map(|piece| piece.elements()).sum();
    if let Some(spares) = spares.filter(|_| entry.strides.is_none()) {
        let mut buffer = spares.take(elements * size_of::<T>());
        read_into::<T>(entry, bytemuck::cast_slice_mut(buffer.bytes_mut()))?;
        return Ok(shared::<T>(
            entry,
            buffer.share(),
            AllocationProperty::Native,
        ));
    }
    let mut values: Vec<T> = bytemuck::zeroed_vec(elements);
    read_into(entry, &mut values)?;
    if let Some(strides) = &entry.strides {
        values = gather(&values, &entry.shape, strides);
    }
    Ok(TensorData::new(values, entry.shape.clone()))
}

/// Reads all parts, one after the other.
fn read_into<T: Float>(entry: &Entry, mut rest: &mut [T]) -> Result<(), WeightError> {
    let scale = Scale::of(entry)?;
    for piece in Piece::of(entry, scale.as_ref()) {
        let (into, tail) = rest.split_at_mut(piece.elements());
        rest = tail;
        piece.read(into).map_err(|source| piece.error(source))?;
    }
    Ok(())
}

/// The tensor in the memory of its file, if it lies there as a `T` array.
fn share<T: Float>(entry: &Entry) -> Option<TensorData> {
    let [part] = entry.parts.as_slice() else {
        return None;
    };
    if entry.dtype != T::STORED || entry.strides.is_some() || entry.scale.is_some() {
        return None;
    }
    let bytes = part.file.share(part.offset, part.len)?;
    bytemuck::try_cast_slice::<u8, T>(&bytes).ok()?; // aligned
    Some(shared::<T>(entry, bytes, AllocationProperty::File))
}

fn shared<T: Float>(entry: &Entry, bytes: bytes::Bytes, from: AllocationProperty) -> TensorData {
    let bytes = Bytes::from_shared(bytes, from);
    TensorData::from_bytes(bytes, entry.shape.clone(), T::dtype())
}

/// Puts elements that are `strides` apart into order.
fn gather<T: Float>(values: &[T], shape: &[usize], strides: &[usize]) -> Vec<T> {
    let count = shape.iter().product();
    let mut index = vec![0; shape.len()];
    let mut at = 0;
    let mut ordered = Vec::with_capacity(count);
    while ordered.len() < count {
        ordered.push(values[at]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            at += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            at -= index[axis] * strides[axis];
            index[axis] = 0;
        }
    }
    ordered
}

/// Elements converted at a time, few enough for the scratch buffers to stay in the nearest caches; whole blocks of any format.
pub(super) const BLOCK: usize = 4096;

/// A part of a tensor, and what its bytes mean.
pub(super) struct Piece<'a> {
    part: &'a Part,
    dtype: StoredDType,
    /// Elements of the tensor before it.
    first: usize,
    scale: Option<&'a Scale>,
}

impl<'a> Piece<'a> {
    /// All parts of a tensor, in order.
    pub(super) fn of(entry: &'a Entry, scale: Option<&'a Scale>) -> impl Iterator<Item = Self> {
        entry.parts.iter().scan(0, move |first, part| {
            let piece = Self {
                part,
                dtype: entry.dtype,
                first: *first,
                scale,
            };
            *first += piece.elements();
            Some(piece)
        })
    }

    pub(super) fn elements(&self) -> usize {
        self.part.len / self.dtype.size() * self.dtype.block()
    }

    /// The error for a failed read.
    pub(super) fn error(&self, source: io::Error) -> WeightError {
        self.part.file.error(source)
    }

    fn read<T: Float>(&self, into: &mut [T]) -> io::Result<()> {
        parallel::in_runs(into, BLOCK, |first, run| self.read_run(first, run))
    }

    /// The elements from `first` on, which begins a block.
    pub(super) fn read_run<T: Float>(&self, mut first: usize, into: &mut [T]) -> io::Result<()> {
        let offset = |first: usize| {
            self.part.offset + (first / self.dtype.block() * self.dtype.size()) as u64
        };
        if self.dtype == T::STORED && self.scale.is_none() {
            return (self.part.file).read_at(bytemuck::cast_slice_mut(into), offset(first));
        }
        let mut single = vec![0f32; BLOCK];
        let mut decoder = Decoder::new(self.dtype);
        for block in into.chunks_mut(BLOCK) {
            let single = &mut single[..block.len()];
            decoder.read(self.part, offset(first), single)?;
            if let Some(scale) = self.scale {
                scale.apply(self.first + first, single);
            }
            T::encode(single, block);
            first += block.len();
        }
        Ok(())
    }
}

/// Reads stored elements as single precision.
struct Decoder {
    dtype: StoredDType,
    raw: Vec<u64>,
}

impl Decoder {
    fn new(dtype: StoredDType) -> Self {
        Self {
            dtype,
            raw: vec![0; BLOCK],
        }
    }

    fn read(&mut self, part: &Part, offset: u64, into: &mut [f32]) -> io::Result<()> {
        let bytes = into.len() / self.dtype.block() * self.dtype.size();
        let raw: &mut [u8] = &mut bytemuck::cast_slice_mut(&mut self.raw)[..bytes];
        part.file.read_at(raw, offset)?;
        match self.dtype {
            StoredDType::F64 => narrow(bytemuck::cast_slice(raw), into),
            StoredDType::F32 => into.copy_from_slice(bytemuck::cast_slice(raw)),
            StoredDType::F16 => {
                bytemuck::cast_slice::<u8, f16>(raw).convert_to_f32_slice(into);
            }
            StoredDType::BF16 => {
                bytemuck::cast_slice::<u8, bf16>(raw).convert_to_f32_slice(into);
            }
            StoredDType::F8E4M3 => CompactFormat::F8E4M3.decode(raw, into),
            StoredDType::F8E5M2 => CompactFormat::F8E5M2.decode(raw, into),
            StoredDType::Blocks(format) => format.decode(raw, into),
            StoredDType::Int(_) | StoredDType::Bool => into.fill(0.0),
        }
        Ok(())
    }
}

fn narrow(from: &[f64], into: &mut [f32]) {
    for (into, from) in into.iter_mut().zip(from) {
        *into = *from as f32;
    }
}
