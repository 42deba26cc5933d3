//! Stopping a generation from another thread.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// A switch that stops a generation within a fraction of a second, wherever it is: sessions look at it at every attention
/// site, the CPU kernels in the middle of their work. Clones are the same switch.
///
/// ```
/// use conceptrol_core::Cancel;
///
/// let cancel = Cancel::new();
/// let elsewhere = cancel.clone();
/// std::thread::spawn(move || elsewhere.cancel()).join().unwrap();
/// assert!(cancel.is_cancelled());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

thread_local! {
    /// The switch of the generation that this thread computes. Tensor operations take no such argument, and a kernel that
    /// runs for seconds must be able to stop.
    static CURRENT: RefCell<Option<Cancel>> = const { RefCell::new(None) };
}

impl Cancel {
    /// A switch that is off.
    pub fn new() -> Self {
        Self::default()
    }

    /// Switches it on, for good.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is on.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Computes `part` so that kernels on this thread stop when the switch is on. What they return then is not a result:
    /// ask [`is_cancelled`](Self::is_cancelled) before using it.
    pub fn scope<T>(&self, part: impl FnOnce() -> T) -> T {
        let _restore = Restore(CURRENT.replace(Some(self.clone())));
        part()
    }

    /// The switch of the innermost scope on this thread; one that stays off outside of all.
    pub fn current() -> Self {
        CURRENT.with_borrow(|current| current.clone().unwrap_or_default())
    }
}

/// Puts the outer scope's switch back, also when a part panics.
struct Restore(Option<Cancel>);

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_nest() {
        let (outer, inner) = (Cancel::new(), Cancel::new());
        inner.cancel();
        outer.scope(|| {
            assert!(!Cancel::current().is_cancelled());
            inner.scope(|| assert!(Cancel::current().is_cancelled()));
            assert!(!Cancel::current().is_cancelled(), "the outer one is back");
        });
        let caught = std::panic::catch_unwind(|| inner.scope(|| panic!("in a part")));
        assert!(caught.is_err());
        assert!(!Cancel::current().is_cancelled(), "also after a panic");
    }
}
