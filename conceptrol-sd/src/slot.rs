//! Components that are loaded when first needed, and dropped after use where memory is short.

use std::sync::{Arc, Mutex, PoisonError};

/// A component of a pipeline: loaded at first use; kept for the next, or dropped with its last user.
#[derive(Debug)]
pub(crate) struct Slot<T> {
    loaded: Mutex<Option<Arc<T>>>,
    keep: bool,
}

impl<T> Slot<T> {
    pub(crate) const fn new(keep: bool) -> Self {
        Self {
            loaded: Mutex::new(None),
            keep,
        }
    }

    /// The component, loaded first if it is not there.
    pub(crate) fn get<E>(&self, load: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        // a panic while loading leaves the slot empty, which is a valid state
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(component) = loaded.as_ref() {
            return Ok(Arc::clone(component));
        }
        let component = Arc::new(load()?);
        if self.keep {
            *loaded = Some(Arc::clone(&component));
        }
        Ok(component)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_or_dropped_with_its_last_user() {
        for keep in [true, false] {
            let slot = Slot::new(keep);
            let first: Arc<u8> = slot.get(|| Ok::<_, ()>(7)).expect("loads");
            let watched = Arc::downgrade(&first);
            drop(first);
            assert_eq!(watched.upgrade().is_some(), keep);
            let again = slot.get(|| Ok::<_, ()>(8)).expect("loads");
            assert_eq!(*again, if keep { 7 } else { 8 });
        }
        let slot = Slot::<u8>::new(true);
        assert_eq!(slot.get(|| Err("unreadable")), Err("unreadable"));
        assert_eq!(
            slot.get(|| Ok::<_, ()>(9)),
            Ok(Arc::new(9)),
            "a failure is not kept"
        );
    }
}
