use std::time::{Duration, Instant};

/// Durations of repeated runs.
#[derive(Debug, Clone)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Runs `work` once unmeasured, then `repeats` times.
    ///
    /// # Panics
    /// If `repeats` is zero.
    pub fn of<T>(repeats: usize, mut work: impl FnMut() -> T) -> Self {
        assert!(repeats > 0, "nothing to measure");
        drop(work());
        let mut times: Vec<Duration> = (0..repeats)
            .map(|_| {
                let start = Instant::now();
                let result = work();
                let time = start.elapsed();
                drop(result);
                time
            })
            .collect();
        times.sort_unstable();
        Self(times)
    }

    /// The shortest, in milliseconds: what the work takes when nothing disturbs it.
    pub fn best(&self) -> f64 {
        milliseconds(self.0[0])
    }

    /// The median, in milliseconds.
    pub fn median(&self) -> f64 {
        milliseconds(self.0[self.0.len() / 2])
    }

    /// Median over best, less one: how disturbed the machine was.
    pub fn spread(&self) -> f64 {
        self.median() / self.best() - 1.0
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Milliseconds of processor time a run of `work` takes, all threads together, over `repeats` runs; nothing where the system does
/// not tell (Unix does). On a machine that others use too this says more than the clock on the wall.
pub fn processor_time<T>(repeats: usize, mut work: impl FnMut() -> T) -> Option<f64> {
    let before = consumed()?;
    for _ in 0..repeats {
        drop(work());
    }
    Some((consumed()? - before) as f64 / 1e6 / repeats as f64)
}

/// Nanoseconds all threads of the process have run, those that ended included.
#[cfg(unix)]
pub(crate) fn consumed() -> Option<u64> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Some(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Not told here.
#[cfg(not(unix))]
pub(crate) fn consumed() -> Option<u64> {
    None
}
