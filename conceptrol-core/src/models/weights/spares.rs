//! Memory of weights that are dropped, for those that are read next.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use bytes::Bytes;

/// Buffers of tensors that were dropped, each for the next tensor of the same size.
///
/// Blocks that are streamed are alike, and new memory costs about as much as reading into it: the system clears every page, and a
/// virtual machine gets it from its host. Nothing is held beyond what was in use: where a size is not there, what comes is of
/// another kind, and all spare buffers go.
#[derive(Debug, Default)]
pub(super) struct Spares(Mutex<Vec<Vec<u64>>>);

impl Spares {
    /// A buffer of `len` bytes with anything in it.
    pub(super) fn take(self: &Arc<Self>, len: usize) -> Buffer {
        let size = len.div_ceil(size_of::<u64>());
        let mut spares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let words = match spares.iter().position(|words| words.len() == size) {
            Some(found) => spares.swap_remove(found),
            None => {
                spares.clear();
                vec![0; size]
            }
        };
        Buffer {
            words,
            len,
            home: Arc::downgrade(self),
        }
    }

    fn put(&self, words: Vec<u64>) {
        let mut spares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spares.push(words);
    }
}

/// Bytes that go back to their [`Spares`] when they are dropped, if those are still there.
#[derive(Debug)]
pub(super) struct Buffer {
    /// Words, so that any float type is aligned.
    words: Vec<u64>,
    len: usize,
    home: Weak<Spares>,
}

impl Buffer {
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[..self.len]
    }

    /// The bytes, which many may share; the last one gives them back.
    pub(super) fn share(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(home) = self.home.upgrade() {
            home.put(mem::take(&mut self.words));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(spares: &Spares) -> usize {
        spares.0.lock().expect("no panic").len()
    }

    #[test]
    fn a_buffer_that_was_dropped_is_the_next_of_its_size() {
        let spares = Arc::new(Spares::default());
        let mut first = spares.take(13);
        first.bytes_mut().fill(7);
        let at = first.words.as_ptr();
        let shared = first.share();
        assert_eq!(shared, [7; 13][..]);
        let again = shared.clone();
        drop(shared);
        assert_eq!(count(&spares), 0, "it is in use");
        drop(again);
        assert_eq!(count(&spares), 1);
        assert_eq!(spares.take(16).words.as_ptr(), at, "two words again");
    }

    #[test]
    fn another_size_lets_all_go() {
        let spares = Arc::new(Spares::default());
        drop([spares.take(8), spares.take(24)]);
        assert_eq!(count(&spares), 2);
        let other = spares.take(100);
        assert_eq!(count(&spares), 0);
        assert!(other.as_ref().iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_buffer_outlives_its_home() {
        let spares = Arc::new(Spares::default());
        let mut buffer = spares.take(3);
        drop(spares);
        buffer.bytes_mut().copy_from_slice(&[1, 2, 3]);
        assert_eq!(buffer.share(), [1, 2, 3][..]);
    }
}
