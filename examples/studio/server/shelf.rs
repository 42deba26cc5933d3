//! What the server keeps for a while: within a number of bytes, what was used last.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

/// Entries a shelf may have, whatever their size: it is searched from end to end.
const MOST_ENTRIES: usize = 500;

/// Things by their ids. The least recently used ones go when the bytes are spent; who holds one keeps it.
#[derive(Debug)]
pub(crate) struct Shelf<T> {
    most_bytes: usize,
    entries: Mutex<VecDeque<Entry<T>>>,
}

#[derive(Debug)]
struct Entry<T> {
    id: String,
    bytes: usize,
    thing: Arc<T>,
}

impl<T> Shelf<T> {
    pub(crate) fn new(most_bytes: usize) -> Self {
        Self {
            most_bytes,
            entries: Mutex::default(),
        }
    }

    /// Keeps a thing that takes about so many bytes, in place of one with the same id.
    pub(crate) fn put(&self, id: &str, bytes: usize, thing: T) -> Arc<T> {
        let thing = Arc::new(thing);
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|entry| entry.id != id);
        entries.push_back(Entry {
            id: id.to_owned(),
            bytes,
            thing: Arc::clone(&thing),
        });
        while entries.len() > 1
            && (held(&entries) > self.most_bytes || entries.len() > MOST_ENTRIES)
        {
            entries.pop_front();
        }
        thing
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<T>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let at = entries.iter().position(|entry| entry.id == id)?;
        let entry = entries.remove(at)?;
        let thing = Arc::clone(&entry.thing);
        entries.push_back(entry);
        Some(thing)
    }
}

fn held<T>(entries: &VecDeque<Entry<T>>) -> usize {
    entries.iter().map(|entry| entry.bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::Shelf;

    #[test]
    fn what_was_used_last_stays() {
        let shelf = Shelf::new(10);
        shelf.put("a", 4, 'a');
        shelf.put("b", 4, 'b');
        assert_eq!(shelf.get("a").as_deref(), Some(&'a'));
        shelf.put("c", 4, 'c');
        assert_eq!(shelf.get("b"), None);
        assert!(shelf.get("a").is_some() && shelf.get("c").is_some());
        shelf.put("large", 100, 'l');
        assert!(shelf.get("a").is_none() && shelf.get("large").is_some());
    }
}
