use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    device::{Opened, Precision},
    machine,
};

/// A result, with all it takes to compare it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The benchmark, or `golden cases`.
    pub benchmark: String,
    /// What was done: model, size, way.
    pub case: String,
    /// Where and with what.
    pub environment: Environment,
    /// How long it took, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<Times>,
    /// Of the processor, all threads together, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor_seconds: Option<Times>,
    /// Floating-point operations by the textbook, where they say something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flops: Option<f64>,
    /// Peak memory of the machine in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_peak: Option<u64>,
    /// Peak memory that Burn had reserved on the device in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_peak: Option<u64>,
    /// Comparisons that were made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks: Option<Checks>,
    /// Other numbers, by what they are: ratios, deviations, bytes of a step.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub numbers: BTreeMap<String, f64>,
}

/// What a row was measured on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Environment {
    /// The implementation: `conceptrol`, or that of a peer.
    pub program: String,
    /// The commit of the program, or a peer's version.
    #[serde(default)]
    pub commit: Option<String>,
    /// As on the command line.
    pub backend: String,
    /// The type computed in.
    pub dtype: String,
    /// What the device calls itself.
    pub device: String,
    /// The version of its driver, where that is known.
    #[serde(default)]
    pub driver: Option<String>,
    /// The processor, and how many of its threads were used.
    pub processor: String,
    /// Whether shapes were small, to see that everything runs.
    #[serde(default)]
    pub small: bool,
}

impl Environment {
    /// This program on a device.
    pub fn new(opened: &Opened, dtype: Precision, small: bool) -> Self {
        let processor = match std::env::var("RAYON_NUM_THREADS") {
            Ok(threads) => format!("{}, {threads} used", machine::processor()),
            Err(_) => machine::processor(),
        };
        Self {
            program: "conceptrol".into(),
            commit: machine::commit(),
            backend: opened.backend().to_string(),
            dtype: dtype.name().into(),
            device: opened.name(),
            driver: machine::nvidia_driver(),
            processor,
            small,
        }
    }
}

/// Durations or ratios of rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// How many.
    pub rounds: usize,
    /// The shortest: what the work takes when nothing disturbs it.
    pub best: f64,
    /// The middle one; of an even number the later of two.
    pub median: f64,
    /// The longest.
    pub worst: f64,
}

/// Comparisons with what is right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checks {
    /// Within their tolerance.
    pub passed: usize,
    /// Beyond it, or not possible.
    pub failed: usize,
}

impl Times {
    /// Of these; nothing of none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        Some(Self {
            rounds: values.len(),
            best: *values.first()?,
            median: values[values.len() / 2],
            worst: *values.last()?,
        })
    }

    /// Median over best, less one: how disturbed the machine was.
    pub fn spread(&self) -> f64 {
        self.median / self.best - 1.0
    }
}

impl Row {
    /// A row without results.
    pub fn new(
        benchmark: impl Into<String>,
        case: impl Into<String>,
        environment: Environment,
    ) -> Self {
        Self {
            benchmark: benchmark.into(),
            case: case.into(),
            environment,
            seconds: None,
            processor_seconds: None,
            flops: None,
            host_peak: None,
            device_peak: None,
            checks: None,
            numbers: BTreeMap::new(),
        }
    }

    /// Whether a later row of the same work on the same device takes its place.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        let of = |row: &Self| {
            let at = row.environment.clone();
            (
                (row.benchmark.clone(), row.case.clone(), at.program),
                (at.backend, at.dtype, at.device, at.processor, at.small),
            )
        };
        of(self) == of(other)
    }
}
