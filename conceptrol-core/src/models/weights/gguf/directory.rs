//! The directory of tensors, each checked against the file.

use std::sync::Arc;

use super::{
    fields::Fields,
    metadata::{self, Metadata},
};
use crate::{
    kernel::BlockFormat,
    models::weights::{
        dtype::StoredDType,
        entry::{Entries, Entry, Part, byte_len},
        error::WeightError,
        file::WeightFile,
    },
};

const MAGIC: u32 = u32::from_le_bytes(*b"GGUF");
/// Axes of a tensor in ggml.
const MAX_AXES: u32 = 4;
/// Bytes of the shortest line of the directory: the length of a name, the number of axes, type and place.
const SHORTEST_LINE: u64 = 8 + 4 + 4 + 8;

/// Reads and validates the header of `file`.
pub(in crate::models::weights) fn entries(file: &Arc<WeightFile>) -> Result<Entries, WeightError> {
    let mut fields = Fields::new(file);
    let magic = fields.u32("the magic number")?;
    if magic != MAGIC {
        return Err(fields.malformed("it does not begin as a GGUF file".to_owned()));
    }
    let version = fields.u32("the version")?;
    match version {
        2 | 3 => {}
        _ if version.swap_bytes() < 1 << 16 => {
            let reason = "its numbers are big-endian; only little-endian files are read";
            return Err(fields.malformed(reason.to_owned()));
        }
        _ => {
            return Err(fields.malformed(format!("GGUF version {version}; 2 and 3 are read")));
        }
    }
    let tensors = fields.u64("the number of tensors")?;
    let pairs = fields.u64("the number of key-value pairs")?;
    let metadata = metadata::read(&mut fields, pairs)?;
    fields.expect(tensors, SHORTEST_LINE, "the directory of tensors")?;
    let mut lines = Vec::new();
    for _ in 0..tensors {
        lines.push(line(&mut fields)?);
    }
    place(file, &fields, &metadata, lines)
}

/// A line of the directory.
struct Line {
    name: String,
    dtype: StoredDType,
    /// Outermost axis first; the file has them the other way round.
    shape: Vec<usize>,
    /// From the beginning of the data.
    offset: u64,
    bytes: usize,
}

fn line(fields: &mut Fields<'_>) -> Result<Line, WeightError> {
    let name = fields.text("the name of a tensor")?;
    let axes = fields.u32(&name)?;
    if axes > MAX_AXES {
        return Err(fields.malformed(format!("{name} has {axes} axes, {MAX_AXES} at most")));
    }
    let mut shape = Vec::new();
    for _ in 0..axes {
        let axis = fields.u64(&name)?;
        let axis = usize::try_from(axis);
        shape.push(axis.map_err(|_| fields.malformed(too_large(&name)))?);
    }
    shape.reverse();
    let number = fields.u32(&name)?;
    let dtype = dtype(number).ok_or_else(|| {
        fields.malformed(format!(
            "{name} has the tensor type {number}, which is not read"
        ))
    })?;
    let offset = fields.u64(&name)?;
    let row = shape.last().copied().unwrap_or(1);
    if row % dtype.block() != 0 {
        return Err(fields.malformed(format!(
            "the rows of {name} have {row} elements, which are not blocks of {}",
            dtype.block()
        )));
    }
    let bytes = byte_len(&shape, dtype).ok_or_else(|| fields.malformed(too_large(&name)))?;
    Ok(Line {
        name,
        dtype,
        shape,
        offset,
        bytes,
    })
}

fn too_large(name: &str) -> String {
    format!("{name} takes more bytes than can be addressed")
}

/// The element type of this number in ggml.
fn dtype(number: u32) -> Option<StoredDType> {
    Some(match number {
        0 => StoredDType::F32,
        1 => StoredDType::F16,
        24 => StoredDType::Int(1),
        25 => StoredDType::Int(2),
        26 => StoredDType::Int(4),
        27 => StoredDType::Int(8),
        28 => StoredDType::F64,
        30 => StoredDType::BF16,
        _ => StoredDType::Blocks(blocks(number)?),
    })
}

/// The block format of this number.
fn blocks(number: u32) -> Option<BlockFormat> {
    Some(match number {
        2 => BlockFormat::Q4_0,
        3 => BlockFormat::Q4_1,
        6 => BlockFormat::Q5_0,
        7 => BlockFormat::Q5_1,
        8 => BlockFormat::Q8_0,
        10 => BlockFormat::Q2_K,
        11 => BlockFormat::Q3_K,
        12 => BlockFormat::Q4_K,
        13 => BlockFormat::Q5_K,
        14 => BlockFormat::Q6_K,
        20 => BlockFormat::IQ4_NL,
        23 => BlockFormat::IQ4_XS,
        _ => return None,
    })
}

/// Finds the data of every line, which follow the header.
fn place(
    file: &Arc<WeightFile>,
    fields: &Fields<'_>,
    metadata: &Metadata,
    lines: Vec<Line>,
) -> Result<Entries, WeightError> {
    let alignment = u64::from(metadata.alignment);
    let start = fields.position().next_multiple_of(alignment);
    let mut entries = Entries::new();
    let mut places = Vec::new();
    for line in lines {
        if line.offset % alignment != 0 {
            return Err(fields.malformed(format!(
                "{} begins at byte {} of the data, which is not aligned to {alignment}",
                line.name, line.offset
            )));
        }
        // what is empty lies nowhere, wherever it is said to lie
        let offset = match line.bytes {
            0 => 0,
            _ => start.saturating_add(line.offset),
        };
        let needed = offset.saturating_add(line.bytes as u64);
        if needed > file.len() {
            return Err(WeightError::Truncated {
                path: file.path().to_owned(),
                what: line.name,
                needed,
                available: file.len(),
            });
        }
        if line.bytes > 0 {
            places.push((offset, needed, line.name.clone()));
        }
        let part = Part {
            file: Arc::clone(file),
            offset,
            len: line.bytes,
            checksum: None,
        };
        let entry = Entry::dense(line.dtype, shape(&line, metadata), part);
        if entries.insert(line.name.clone(), entry).is_some() {
            return Err(fields.malformed(format!("{} is there twice", line.name)));
        }
    }
    apart(file, places)?;
    Ok(entries)
}

/// The shape the tensor had before it was stored as a matrix, if the file says so and it has as many elements.
fn shape(line: &Line, metadata: &Metadata) -> Vec<usize> {
    let original = metadata.shapes.get(&line.name);
    let same = |shape: &&Vec<usize>| {
        // rows of blocks stay whole
        let row = shape.last().copied().unwrap_or(1);
        row % line.dtype.block() == 0 && byte_len(shape, line.dtype) == Some(line.bytes)
    };
    original.filter(same).unwrap_or(&line.shape).clone()
}

/// That no two tensors share bytes.
fn apart(file: &WeightFile, mut places: Vec<(u64, u64, String)>) -> Result<(), WeightError> {
    places.sort_unstable();
    match places.windows(2).find(|pair| pair[0].1 > pair[1].0) {
        None => Ok(()),
        Some(pair) => Err(WeightError::Overlap {
            path: file.path().to_owned(),
            first: pair[0].2.clone(),
            second: pair[1].2.clone(),
            end: pair[0].1,
            start: pair[1].0,
        }),
    }
}
