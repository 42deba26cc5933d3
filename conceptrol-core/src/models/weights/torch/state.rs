use std::{collections::BTreeMap, sync::Arc};

use super::{archive::Archive, legacy, storages::Storages};
use crate::message::shown;
use crate::models::weights::{
    entry::{Entries, Entry, Part, byte_len},
    error::WeightError,
    file::WeightFile,
    pickle::{Heap, StoredTensor, Value},
};

/// Nested dictionaries deeper than this are no state dict.
const MAX_DEPTH: usize = 8;
/// Items among which texts are looked for: a file with more is a model.
const MOST_TEXTS: usize = 64;
/// Keys of storages are numbers; many tensors may share a long one.
const LONGEST_KEY: usize = 64;

/// Reads the pickle of a torch file; nested dictionaries become dotted names and what is no tensor is left out.
pub(in crate::models::weights) fn entries(file: &Arc<WeightFile>) -> Result<Entries, WeightError> {
    let (root, heap, storages) = open(file)?;
    let Value::Dict(root) = root else {
        return Err(storages.malformed("the pickle holds no dictionary of tensors".to_owned()));
    };
    let mut collector = Collector {
        storages,
        heap,
        entries: Entries::new(),
    };
    collector.dict(root, "", 0)?;
    Ok(collector.entries)
}

/// The texts among the items of the pickle's dictionary.
pub(in crate::models::weights) fn texts(
    file: &Arc<WeightFile>,
) -> Result<BTreeMap<String, String>, WeightError> {
    let (root, heap, _) = open(file)?;
    let Value::Dict(root) = root else {
        return Ok(BTreeMap::new());
    };
    let text = |(key, value): &(Value, Value)| match (key, value) {
        (Value::Text(key), Value::Text(text)) => {
            Some((heap.text(*key).to_owned(), heap.text(*text).to_owned()))
        }
        _ => None,
    };
    Ok(heap
        .dict(root)
        .iter()
        .take(MOST_TEXTS)
        .filter_map(text)
        .collect())
}

fn open(file: &Arc<WeightFile>) -> Result<(Value, Heap, Storages), WeightError> {
    match legacy::begins(file) {
        true => legacy::open(file),
        false => Archive::open_all(file),
    }
}

struct Collector {
    storages: Storages,
    heap: Heap,
    entries: Entries,
}

impl Collector {
    fn dict(&mut self, id: usize, prefix: &str, depth: usize) -> Result<(), WeightError> {
        if depth > MAX_DEPTH {
            return Err(self.storages.malformed(format!(
                "dictionaries nest deeper than {MAX_DEPTH} in the pickle"
            )));
        }
        // a dictionary may be referred to many times over
        self.pay(size_of_val(self.heap.dict(id)))?;
        let pairs = self.heap.dict(id).to_vec();
        for (key, value) in pairs {
            match value {
                Value::Dict(id) => {
                    if let Some(name) = self.name(prefix, key)? {
                        self.dict(id, &name, depth + 1)?;
                    }
                }
                Value::Tensor(id) => {
                    if let Some(name) = self.name(prefix, key)? {
                        self.tensor(id, name)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The dotted name of an item; nothing for keys that are neither text nor numbers.
    fn name(&mut self, prefix: &str, key: Value) -> Result<Option<String>, WeightError> {
        let number;
        let key = match key {
            Value::Text(id) => self.heap.text(id),
            Value::Int(key) => {
                number = key.to_string();
                &number
            }
            _ => return Ok(None),
        };
        let name = match prefix {
            "" => key.to_owned(),
            prefix => format!("{prefix}.{key}"),
        };
        // and so may a long key
        self.pay(size_of::<String>() + name.len())?;
        Ok(Some(name))
    }

    fn pay(&mut self, bytes: usize) -> Result<(), WeightError> {
        let paid = self.heap.spend(bytes);
        paid.map_err(|reason| self.storages.malformed(reason))
    }

    fn tensor(&mut self, id: usize, name: String) -> Result<(), WeightError> {
        let entry = self.entry(&name, self.heap.tensor(id))?;
        match self.entries.insert(name.clone(), entry) {
            None => Ok(()),
            Some(_) => Err(self.storages.malformed(format!("{name} is there twice"))),
        }
    }

    fn entry(&self, name: &str, tensor: &StoredTensor) -> Result<Entry, WeightError> {
        let storage = self.storage(name, tensor)?;
        let size = tensor.dtype.size();
        let available = storage.len / size;
        let too_small = |needed: String| {
            self.storages.malformed(format!(
                "{name} {:?} reaches element {needed} of a storage of {available}",
                tensor.shape
            ))
        };
        // Counting the elements as well keeps a stride of 0 from unfolding a small file into a huge tensor.
        let bytes = byte_len(&tensor.shape, tensor.dtype);
        let bytes = bytes
            .filter(|bytes| bytes / size <= available)
            .ok_or_else(|| too_small("beyond the end".to_owned()))?;
        let span = match bytes {
            0 => 0,
            _ => span(tensor).ok_or_else(|| too_small("beyond the end".to_owned()))?,
        };
        let end = tensor.offset.checked_add(span);
        if end.is_none_or(|end| end > available) {
            return Err(too_small(
                end.map_or("beyond the end".to_owned(), |end| end.to_string()),
            ));
        }
        let strides = (bytes > 0 && !is_contiguous(tensor)).then(|| tensor.strides.clone());
        let part = Part {
            offset: storage.offset + (tensor.offset * size) as u64,
            len: span * size,
            ..storage
        };
        Ok(Entry {
            strides,
            ..Entry::dense(tensor.dtype, tensor.shape.clone(), part)
        })
    }

    /// The storage that holds the values, which must be as long as the pickle says.
    fn storage(&self, name: &str, tensor: &StoredTensor) -> Result<Part, WeightError> {
        let key = self.heap.text(tensor.storage.key);
        let storage = (key.len() <= LONGEST_KEY).then(|| self.storages.find(key));
        let storage = storage.flatten().ok_or_else(|| {
            self.storages.malformed(format!(
                "storage {} of {name} is not in the archive",
                shown(key)
            ))
        })?;
        let size = tensor.storage.dtype.map_or(1, |dtype| dtype.size());
        let needed = (tensor.storage.elements as u64).saturating_mul(size as u64);
        if needed > storage.len as u64 {
            let what = format!("storage {key} of {name}");
            return Err(self.storages.truncated(what, needed, storage.len as u64));
        }
        Ok(storage)
    }
}

/// Elements from the first to the last, both included. The shape has no zero.
fn span(tensor: &StoredTensor) -> Option<usize> {
    let mut last = 0usize;
    for (axis, stride) in tensor.shape.iter().zip(&tensor.strides) {
        last = last.checked_add((axis - 1).checked_mul(*stride)?)?;
    }
    last.checked_add(1)
}

/// Whether the elements lie in order without gaps. The stride of an axis of one element means nothing.
fn is_contiguous(tensor: &StoredTensor) -> bool {
    let mut expected = 1;
    tensor
        .shape
        .iter()
        .zip(&tensor.strides)
        .rev()
        .all(|(axis, stride)| {
            let fits = *axis == 1 || *stride == expected;
            expected *= axis;
            fits
        })
}
