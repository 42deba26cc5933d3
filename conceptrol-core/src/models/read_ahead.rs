//! Reading what comes next while what is there is computed with.

use std::{iter, panic::resume_unwind, thread};

/// Calls `pass` with the results of `reads`, in order. Each is computed by a thread of its own while the one before is in use, so
/// two are in memory at a time: the one that `pass` holds, and the next.
///
/// A `pass` that ends early waits for the one that is being read.
///
/// ```
/// use conceptrol_core::models::read_ahead;
///
/// let reads = (0..3).map(|index| move || index * index);
/// let sum: i32 = read_ahead(reads, |squares| squares.sum());
/// assert_eq!(sum, 5);
/// ```
///
/// # Panics
///
/// Where a read panics.
pub fn read_ahead<T, F, R>(
    reads: impl IntoIterator<Item = F>,
    pass: impl FnOnce(&mut dyn Iterator<Item = T>) -> R,
) -> R
where
    T: Send,
    F: FnOnce() -> T + Send,
{
    thread::scope(|scope| {
        let mut reads = reads.into_iter();
        let mut begin = || reads.next().map(|read| scope.spawn(read));
        let mut begun = begin();
        let mut results = iter::from_fn(|| {
            let result = begun.take()?.join();
            begun = begin();
            Some(result.unwrap_or_else(|panic| resume_unwind(panic)))
        });
        pass(&mut results)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::read_ahead;

    #[test]
    fn one_is_read_ahead_and_no_more() {
        let begun = AtomicUsize::new(0);
        let reads = (0..5).map(|index| {
            let begun = &begun;
            move || {
                begun.fetch_add(1, Ordering::SeqCst);
                index
            }
        });
        read_ahead(reads, |results| {
            for expected in 0..4 {
                assert_eq!(results.next(), Some(expected));
                // the next may have begun, the one after it may not
                assert!(begun.load(Ordering::SeqCst) <= expected + 2);
            }
        });
        assert_eq!(begun.load(Ordering::SeqCst), 5, "the one begun is awaited");
    }

    #[test]
    fn a_panic_is_that_of_the_read() {
        let reads = [|| panic!("no such block")];
        let caught = std::panic::catch_unwind(|| {
            read_ahead(reads, |results: &mut dyn Iterator<Item = ()>| {
                results.next()
            })
        });
        let panic = caught.expect_err("a panic");
        assert_eq!(panic.downcast_ref(), Some(&"no such block"));
    }
}
