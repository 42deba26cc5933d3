//! Where the parts of a model live, and parts that are loaded when first needed.

use std::sync::{Arc, Mutex, PoisonError};

/// Where the large parts of a model live between uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Residency {
    /// In memory, from the first use on.
    #[default]
    Memory,
    /// In memory while they are used: text encoders are dropped before the denoiser is loaded, and it before the
    /// autoencoder.
    WhileUsed,
    /// On disk: each block is read while the one before it computes, and dropped afterwards, at every step. Not every family can.
    Disk,
}

/// A part of a model: loaded at first use; kept for the next, or dropped with its last user.
#[derive(Debug)]
pub struct Slot<T> {
    loaded: Mutex<Option<Arc<T>>>,
    keep: bool,
}

impl<T> Slot<T> {
    /// An empty slot. With [`Residency::Memory`] what is loaded stays.
    pub const fn new(residency: Residency) -> Self {
        Self {
            loaded: Mutex::new(None),
            keep: matches!(residency, Residency::Memory),
        }
    }

    /// A slot that holds its part, and keeps it.
    pub fn of(part: T) -> Self {
        Self {
            loaded: Mutex::new(Some(Arc::new(part))),
            keep: true,
        }
    }

    /// An empty slot whose part stays once it is loaded.
    pub const fn kept() -> Self {
        Self::new(Residency::Memory)
    }

    /// The part, loaded first if it is not there. Two threads that ask at once load it once.
    ///
    /// # Errors
    ///
    /// What `load` says; the slot then stays empty.
    pub fn get<E>(&self, load: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        // a panic while loading leaves the slot empty, which is a valid state
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(part) = loaded.as_ref() {
            return Ok(Arc::clone(part));
        }
        let part = Arc::new(load()?);
        if self.keep {
            *loaded = Some(Arc::clone(&part));
        }
        Ok(part)
    }

    /// Whether the part is in memory.
    pub fn is_loaded(&self) -> bool {
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_or_dropped_with_its_last_user() {
        for (residency, keep) in [(Residency::Memory, true), (Residency::WhileUsed, false)] {
            let slot = Slot::new(residency);
            let first: Arc<u8> = slot.get(|| Ok::<_, ()>(7)).expect("loads");
            let watched = Arc::downgrade(&first);
            drop(first);
            assert_eq!(watched.upgrade().is_some(), keep);
            assert_eq!(slot.is_loaded(), keep);
            let again = slot.get(|| Ok::<_, ()>(8)).expect("loads");
            assert_eq!(*again, if keep { 7 } else { 8 });
        }
        let given = Slot::of(5_u8);
        assert!(given.is_loaded());
        assert_eq!(given.get(|| Err("never asked")), Ok(Arc::new(5)));
        let slot = Slot::<u8>::new(Residency::Memory);
        assert_eq!(slot.get(|| Err("unreadable")), Err("unreadable"));
        assert_eq!(
            slot.get(|| Ok::<_, ()>(9)),
            Ok(Arc::new(9)),
            "a failure is not kept"
        );
    }
}
