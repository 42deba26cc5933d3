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
