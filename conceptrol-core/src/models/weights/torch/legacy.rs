//! The format of `torch.save` before version 1.6, and since then where it is asked for (`_use_new_zipfile_serialization`).
//!
//! Five pickles (a magic number, the version, the machine, the object, the keys of its storages), then the storages in the
//! order of their keys, each after its number of elements.

use std::{collections::HashMap, sync::Arc};

use super::storages::Storages;
use crate::models::weights::{
    entry::Part,
    error::WeightError,
    file::WeightFile,
    pickle::{self, Heap, Storage, Value},
};

/// The first pickle but for its protocol: the number `0x1950a86a20f9469cfc6c`, and its end.
const MAGIC: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
/// The second: the version 1001 of the format, and its end.
const VERSION: &[u8] = b"M\xe9\x03.";
/// Bytes of a protocol before either of them.
const PROTOCOL: usize = 2;
/// Bytes at the front that are looked at for the pickles: most files need no more than the first of these.
const PREFIXES: [u64; 2] = [1 << 20, 64 << 20];
/// Bytes of the number of elements before a storage.
const COUNT: u64 = 8;

/// Whether the file begins as one of this format.
pub(super) fn begins(file: &WeightFile) -> bool {
    let len = file.len().min((PROTOCOL + MAGIC.len()) as u64);
    let start = file.read_vec(0, len as usize);
    start.is_ok_and(|start| start.first() == Some(&0x80) && start.ends_with(MAGIC))
}

/// The object of the file and where its storages are.
pub(super) fn open(file: &Arc<WeightFile>) -> Result<(Value, Heap, Storages), WeightError> {
    let malformed = |reason: String| WeightError::Malformed {
        path: file.path().to_owned(),
        reason,
    };
    let mut outcome = Err(String::new());
    for prefix in PREFIXES {
        let bytes = file.read_vec(0, file.len().min(prefix) as usize)?;
        outcome = pickles(&bytes);
        if outcome.is_ok() || file.len() <= prefix {
            break;
        }
    }
    let (object, heap, end) = outcome.map_err(malformed)?;
    let storages = storages(file, &heap, end as u64)?;
    Ok((object, heap, Storages::new(file, storages)))
}

/// The object, and where the pickles end.
fn pickles(bytes: &[u8]) -> Result<(Value, Heap, usize), String> {
    let mut rest = &bytes[PROTOCOL + MAGIC.len()..];
    let version = rest.get(PROTOCOL..PROTOCOL + VERSION.len());
    if version != Some(VERSION) {
        return Err("it is of another version of the format before torch 1.6".to_owned());
    }
    rest = &rest[PROTOCOL + VERSION.len()..];
    let mut next = || {
        let (value, heap, len) = pickle::run_first(rest)?;
        rest = &rest[len..];
        Ok::<_, String>((value, heap))
    };
    let (machine, heap) = next()?;
    if is_big_endian(machine, &heap) {
        return Err("its numbers are big-endian; only little-endian files are read".to_owned());
    }
    let (object, heap) = next()?;
    next()?; // the keys, which the object names as well
    Ok((object, heap, bytes.len() - rest.len()))
}

fn is_big_endian(machine: Value, heap: &Heap) -> bool {
    let Value::Dict(machine) = machine else {
        return false;
    };
    let says = |(key, value): &(Value, Value)| {
        matches!(key, Value::Text(key) if heap.text(*key) == "little_endian")
            && *value == Value::Bool(false)
    };
    heap.dict(machine).iter().any(says)
}

/// Walks the storages behind the pickles.
fn storages(
    file: &Arc<WeightFile>,
    heap: &Heap,
    mut offset: u64,
) -> Result<HashMap<String, Part>, WeightError> {
    let mut ordered: Vec<(&str, Storage)> = heap
        .storages()
        .map(|storage| (heap.text(storage.key), storage))
        .collect();
    ordered.sort_unstable_by_key(|(key, _)| *key);
    ordered.dedup_by_key(|(key, _)| *key);
    let mut parts = HashMap::new();
    for (key, storage) in ordered {
        let size = storage.dtype.map_or(1, |dtype| dtype.size()) as u64;
        let len = (storage.elements as u64).saturating_mul(size);
        let needed = offset.saturating_add(COUNT).saturating_add(len);
        if needed > file.len() {
            return Err(WeightError::Truncated {
                path: file.path().to_owned(),
                what: format!("storage {key}"),
                needed,
                available: file.len(),
            });
        }
        let count = file.read_vec(offset, COUNT as usize)?;
        let count = count
            .iter()
            .rev()
            .fold(0, |n, byte| n << 8 | u64::from(*byte));
        if count != storage.elements as u64 {
            let elements = storage.elements;
            return Err(WeightError::Malformed {
                path: file.path().to_owned(),
                reason: format!(
                    "storage {key} has {count} elements and is said to have {elements}"
                ),
            });
        }
        let part = Part {
            file: Arc::clone(file),
            offset: offset + COUNT,
            len: len as usize,
            checksum: None,
        };
        parts.insert(key.to_owned(), part);
        offset = needed;
    }
    Ok(parts)
}
