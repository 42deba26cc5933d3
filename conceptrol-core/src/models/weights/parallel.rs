use std::{num::NonZeroUsize, thread};

/// Elements below which a second thread costs more than it saves.
const WORTHWHILE: usize = 1 << 18;
/// Memory is saturated long before this many threads.
const MAX_THREADS: usize = 8;

/// Fills `values` in a few consecutive runs at once, of whole multiples of `unit` but for the last; `fill` gets the index of
/// the first element of its run.
pub(super) fn in_runs<T: Send, E: Send>(
    values: &mut [T],
    unit: usize,
    fill: impl Fn(usize, &mut [T]) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = threads.min(values.len() / WORTHWHILE).min(MAX_THREADS);
    if threads < 2 {
        return fill(0, values);
    }
    let run = values.len().div_ceil(threads).next_multiple_of(unit);
    thread::scope(|scope| {
        let fill = &fill;
        let workers: Vec<_> = values
            .chunks_mut(run)
            .enumerate()
            .map(|(index, values)| scope.spawn(move || fill(index * run, values)))
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().expect("filling does not panic"))
    })
}
