use super::value::{Storage, StoredTensor, Value};

/// Bytes a pickle may build for each of its own; those of `torch.save` build 8.
const SHARE: u64 = 32;
/// Bytes a short pickle may build, and those that any may.
const LEAST: u64 = 1 << 16;
const MOST: u64 = 512 << 20;

/// Everything a pickle has built, and what it may still build.
///
/// A few bytes of a pickle can refer to the same megabyte again and again. So whatever is built or copied is paid for,
/// and the work is bounded with the memory.
#[derive(Debug)]
pub(in crate::models::weights) struct Heap {
    texts: Vec<String>,
    tuples: Vec<Vec<Value>>,
    dicts: Vec<Vec<(Value, Value)>>,
    storages: Vec<Storage>,
    tensors: Vec<StoredTensor>,
    /// Bytes that are left.
    budget: u64,
    pickle_len: usize,
}

impl Heap {
    /// What a pickle of `len` bytes may build.
    pub(super) fn for_pickle(len: usize) -> Self {
        Self {
            texts: Vec::new(),
            tuples: Vec::new(),
            dicts: Vec::new(),
            storages: Vec::new(),
            tensors: Vec::new(),
            budget: (len as u64).saturating_mul(SHARE).clamp(LEAST, MOST),
            pickle_len: len,
        }
    }

    /// Pays for `bytes` that are built or copied.
    pub(in crate::models::weights) fn spend(&mut self, bytes: usize) -> Result<(), String> {
        let left = self.budget.checked_sub(bytes as u64);
        self.budget = left.ok_or_else(|| {
            format!(
                "it builds more than a pickle of {} bytes has reason to",
                self.pickle_len
            )
        })?;
        Ok(())
    }

    pub(super) fn push_text(&mut self, text: String) -> Result<usize, String> {
        self.spend(size_of::<String>() + text.len())?;
        Ok(push(&mut self.texts, text))
    }

    pub(super) fn push_tuple(&mut self, items: Vec<Value>) -> Result<usize, String> {
        self.spend(size_of::<Vec<Value>>() + size_of_val(&items[..]))?;
        Ok(push(&mut self.tuples, items))
    }

    pub(super) fn append(&mut self, list: usize, items: Vec<Value>) -> Result<(), String> {
        self.spend(size_of_val(&items[..]))?;
        self.tuples[list].extend(items);
        Ok(())
    }

    pub(super) fn push_dict(&mut self) -> Result<usize, String> {
        self.spend(size_of::<Vec<(Value, Value)>>())?;
        Ok(push(&mut self.dicts, Vec::new()))
    }

    pub(super) fn set_items(
        &mut self,
        dict: usize,
        items: impl ExactSizeIterator<Item = (Value, Value)>,
    ) -> Result<(), String> {
        self.spend(items.len() * size_of::<(Value, Value)>())?;
        self.dicts[dict].extend(items);
        Ok(())
    }

    pub(super) fn push_storage(&mut self, storage: Storage) -> Result<usize, String> {
        self.spend(size_of::<Storage>())?;
        Ok(push(&mut self.storages, storage))
    }

    pub(super) fn push_tensor(&mut self, tensor: StoredTensor) -> Result<usize, String> {
        let axes = size_of_val(&tensor.shape[..]) + size_of_val(&tensor.strides[..]);
        self.spend(size_of::<StoredTensor>() + axes)?;
        Ok(push(&mut self.tensors, tensor))
    }

    pub(in crate::models::weights) fn text(&self, id: usize) -> &str {
        &self.texts[id]
    }

    pub(super) fn tuple(&self, id: usize) -> &[Value] {
        &self.tuples[id]
    }

    pub(in crate::models::weights) fn dict(&self, id: usize) -> &[(Value, Value)] {
        &self.dicts[id]
    }

    pub(super) fn storage(&self, id: usize) -> Storage {
        self.storages[id]
    }

    /// Every storage that was named, as often as it was.
    pub(in crate::models::weights) fn storages(&self) -> impl Iterator<Item = Storage> + '_ {
        self.storages.iter().copied()
    }

    pub(in crate::models::weights) fn tensor(&self, id: usize) -> &StoredTensor {
        &self.tensors[id]
    }
}

/// Appends to one of the arenas and returns the index.
fn push<T>(arena: &mut Vec<T>, value: T) -> usize {
    arena.push(value);
    arena.len() - 1
}
