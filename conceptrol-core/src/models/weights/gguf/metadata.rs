//! The key-value pairs, of which three are used.

use std::collections::BTreeMap;

use super::fields::Fields;
use crate::models::weights::error::WeightError;

/// Where tensors begin, unless the file says otherwise.
const ALIGNMENT: u32 = 32;
/// Prefix of the shapes that tensors had before they were stored as matrices (`convert.py` of ComfyUI-GGUF).
const SHAPE: &str = "comfy.gguf.orig_shape.";
/// Arrays of arrays deeper than this are in no model.
const MAX_DEPTH: usize = 4;
/// Axes of a shape.
const MAX_AXES: u64 = 8;

/// What is used of the key-value pairs.
pub(super) struct Metadata {
    pub(super) alignment: u32,
    pub(super) shapes: BTreeMap<String, Vec<usize>>,
}

/// The types of values, by their numbers.
mod kind {
    pub(super) const I32: u32 = 5;
    pub(super) const U32: u32 = 4;
    pub(super) const U16: u32 = 2;
    pub(super) const TEXT: u32 = 8;
    pub(super) const ARRAY: u32 = 9;
}

/// Reads `count` pairs.
pub(super) fn read(fields: &mut Fields<'_>, count: u64) -> Result<Metadata, WeightError> {
    // the length of a key, the type of its value, a byte
    fields.expect(count, 8 + 4 + 1, "the key-value pairs")?;
    let mut metadata = Metadata {
        alignment: ALIGNMENT,
        shapes: BTreeMap::new(),
    };
    for _ in 0..count {
        let key = fields.text("a key")?;
        let kind = fields.u32(&key)?;
        if key == "general.alignment" {
            metadata.alignment = alignment(fields, kind)?;
        } else if key == "split.count" && kind == kind::U16 {
            whole(fields)?;
        } else if let Some(tensor) = key.strip_prefix(SHAPE)
            && kind == kind::ARRAY
        {
            if let Some(shape) = shape(fields, &key)? {
                metadata.shapes.insert(tensor.to_owned(), shape);
            }
        } else {
            skip(fields, kind, &key, 0)?;
        }
    }
    Ok(metadata)
}

fn alignment(fields: &mut Fields<'_>, kind: u32) -> Result<u32, WeightError> {
    let refuse = |found: String| {
        format!("general.alignment is {found}, and must be a power of two in 32 bits")
    };
    if kind != kind::U32 {
        return Err(fields.malformed(refuse(format!("of type {kind}"))));
    }
    let alignment = fields.u32("general.alignment")?;
    match alignment.is_power_of_two() {
        true => Ok(alignment),
        false => Err(fields.malformed(refuse(alignment.to_string()))),
    }
}

/// That the model is not one of several parts.
fn whole(fields: &mut Fields<'_>) -> Result<(), WeightError> {
    let parts = fields.u16("split.count")?;
    match parts {
        0 | 1 => Ok(()),
        _ => Err(fields.malformed(format!(
            "one of the {parts} parts of a split model: merge them into one file first"
        ))),
    }
}

/// The shape in an array of 32-bit numbers; nothing if it holds something else.
fn shape(fields: &mut Fields<'_>, key: &str) -> Result<Option<Vec<usize>>, WeightError> {
    let (kind, count) = (fields.u32(key)?, fields.u64(key)?);
    if !matches!(kind, kind::I32 | kind::U32) || count > MAX_AXES {
        array(fields, kind, count, key, 0)?;
        return Ok(None);
    }
    let axes = (0..count).map(|_| Ok(fields.u32(key)? as usize));
    axes.collect::<Result<_, WeightError>>().map(Some)
}

/// Leaves out a value.
fn skip(fields: &mut Fields<'_>, kind: u32, key: &str, depth: usize) -> Result<(), WeightError> {
    match (kind, fixed_size(kind)) {
        (_, Some(bytes)) => fields.skip(1, bytes, key),
        (kind::TEXT, _) => {
            let len = fields.u64(key)?;
            fields.skip(len, 1, key)
        }
        (kind::ARRAY, _) => {
            let (kind, count) = (fields.u32(key)?, fields.u64(key)?);
            array(fields, kind, count, key, depth)
        }
        _ => Err(fields.malformed(format!("the value of {key} has the unknown type {kind}"))),
    }
}

/// Leaves out the elements of an array.
fn array(
    fields: &mut Fields<'_>,
    kind: u32,
    count: u64,
    key: &str,
    depth: usize,
) -> Result<(), WeightError> {
    if let Some(bytes) = fixed_size(kind) {
        return fields.skip(count, bytes, key);
    }
    if depth == MAX_DEPTH {
        return Err(fields.malformed(format!("the arrays of {key} nest deeper than {MAX_DEPTH}")));
    }
    // each element begins with its length
    fields.expect(count, 8, key)?;
    (0..count).try_for_each(|_| skip(fields, kind, key, depth + 1))
}

/// Bytes of a value of this type; nothing for those whose length is in the file, and for unknown ones.
fn fixed_size(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}
