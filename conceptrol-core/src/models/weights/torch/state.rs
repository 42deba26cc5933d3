use std::sync::Arc;

use super::archive::{Archive, Member};
use crate::models::weights::{
    entry::{Entries, Entry, Part, byte_len},
    error::WeightError,
    file::WeightFile,
    pickle::{self, Heap, StoredTensor, Value},
};

/// Nested dictionaries deeper than this are no state dict.
const MAX_DEPTH: usize = 8;
/// Dictionary entries visited at most, so that a dictionary shared many times over cannot unfold without end.
const MAX_ITEMS: usize = 1 << 20;

/// Reads the pickle of a torch file; nested dictionaries become dotted names and what is no tensor is left out.
pub(in crate::models::weights) fn entries(file: &Arc<WeightFile>) -> Result<Entries, WeightError> {
    let archive = Archive::open(file)?;
    let (root, heap) =
        pickle::run(&archive.pickle()?).map_err(|reason| archive.malformed(reason))?;
    let Value::Dict(root) = root else {
        return Err(archive.malformed("the pickle holds no dictionary of tensors".to_owned()));
    };
    let mut collector = Collector {
        archive,
        heap,
        entries: Entries::new(),
        items: 0,
    };
    collector.dict(root, "", 0)?;
    Ok(collector.entries)
}

struct Collector {
    archive: Archive,
    heap: Heap,
    entries: Entries,
    items: usize,
}

impl Collector {
    fn dict(&mut self, id: usize, prefix: &str, depth: usize) -> Result<(), WeightError> {
        let pairs = self.heap.dict(id).to_vec();
        self.items += pairs.len();
        if depth > MAX_DEPTH || self.items > MAX_ITEMS {
            return Err(self.archive.malformed(format!(
                "dictionaries nest deeper than {MAX_DEPTH} or hold more than {MAX_ITEMS} items"
            )));
        }
        for (key, value) in pairs {
            let key = match key {
                Value::Text(id) => self.heap.text(id).to_owned(),
                Value::Int(number) => number.to_string(),
                _ => continue,
            };
            let name = match prefix {
                "" => key,
                prefix => format!("{prefix}.{key}"),
            };
            match value {
                Value::Dict(id) => self.dict(id, &name, depth + 1)?,
                Value::Tensor(id) => self.tensor(id, name)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn tensor(&mut self, id: usize, name: String) -> Result<(), WeightError> {
        let entry = self.entry(&name, self.heap.tensor(id))?;
        match self.entries.insert(name.clone(), entry) {
            None => Ok(()),
            Some(_) => Err(self.archive.malformed(format!("{name} is there twice"))),
        }
    }

    fn entry(&self, name: &str, tensor: &StoredTensor) -> Result<Entry, WeightError> {
        let member = self.storage(name, tensor)?;
        let size = tensor.dtype.size();
        let available = usize::try_from(member.len).unwrap_or(usize::MAX) / size;
        let too_small = |needed: String| {
            self.archive.malformed(format!(
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
            file: Arc::clone(self.archive.file()),
            offset: member.offset + (tensor.offset * size) as u64,
            len: span * size,
        };
        Ok(Entry {
            strides,
            ..Entry::dense(tensor.dtype, tensor.shape.clone(), part)
        })
    }

    /// The member that holds the values, which must be as long as the pickle says.
    fn storage(&self, name: &str, tensor: &StoredTensor) -> Result<Member, WeightError> {
        let key = self.heap.text(tensor.storage.key);
        let member = self.archive.member(&format!("data/{key}"));
        let member = member.ok_or_else(|| {
            self.archive
                .malformed(format!("storage {key} of {name} is not in the archive"))
        })?;
        let size = tensor.storage.dtype.map_or(1, |dtype| dtype.size());
        let needed = (tensor.storage.elements as u64).saturating_mul(size as u64);
        if needed > member.len {
            return Err(WeightError::Truncated {
                path: self.archive.file().path().to_owned(),
                what: format!("storage {key} of {name}"),
                needed,
                available: member.len,
            });
        }
        Ok(member)
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
