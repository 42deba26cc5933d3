use super::Times;

/// What the runs of a way took, after the one that warmed up.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measured {
    /// Its name.
    pub name: String,
    /// Seconds by the clock on the wall, round by round.
    pub seconds: Vec<f64>,
    /// Seconds of the processor, all threads together, where the system tells.
    pub processor: Vec<f64>,
    /// The most memory of this machine, in bytes: resident, or what the benchmark's allocator counted above what was there.
    pub host_peak: Option<u64>,
    /// What Burn had reserved on the device afterwards, in bytes: a pool keeps what it once needed.
    pub device_peak: Option<u64>,
    /// What went over the connection to a remote device in the last round, by name; empty for other devices.
    pub traffic: Vec<(&'static str, u64)>,
    pub(super) flops: f64,
}

impl Measured {
    /// Summed up; nothing where nothing was run.
    pub fn times(&self) -> Option<Times> {
        Times::of(&self.seconds)
    }

    /// This over another, round by round: the median and the range of the ratios.
    pub fn over(&self, other: &Self) -> Option<Times> {
        let rounds = self.seconds.iter().zip(&other.seconds);
        Times::of(&rounds.map(|(a, b)| a / b).collect::<Vec<_>>())
    }

    /// The same of the processor's time.
    pub fn processor_over(&self, other: &Self) -> Option<Times> {
        let rounds = self.processor.iter().zip(&other.processor);
        Times::of(&rounds.map(|(a, b)| a / b).collect::<Vec<_>>())
    }
}
