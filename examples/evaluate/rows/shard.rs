//! Which part of the units of work a machine computes.

use std::{env, fmt, str::FromStr};

/// Shard `index` of `count`: the units whose number leaves the remainder `index`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shard {
    pub(crate) index: usize,
    pub(crate) count: usize,
}

/// The variables of array jobs: index, number of jobs, least index.
const ARRAYS: [(&str, &str, Option<&str>); 2] = [
    (
        "SLURM_ARRAY_TASK_ID",
        "SLURM_ARRAY_TASK_COUNT",
        Some("SLURM_ARRAY_TASK_MIN"),
    ),
    (
        "AWS_BATCH_JOB_ARRAY_INDEX",
        "AWS_BATCH_JOB_ARRAY_SIZE",
        None,
    ),
];

impl Shard {
    /// All units.
    pub(crate) const WHOLE: Self = Self { index: 0, count: 1 };

    /// The shard that an array job's environment names; all units outside of array jobs.
    pub(crate) fn from_environment() -> Result<Self, String> {
        Self::from_variables(|name| env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        for (index, count, least) in ARRAYS {
            let number = |name: &str| {
                let value = variable(name)?;
                let parsed = value.parse::<usize>();
                Some(parsed.map_err(|_| format!("{name} is `{value}`, not a number")))
            };
            if let (Some(index), Some(count)) = (number(index), number(count)) {
                let least = least.and_then(number).transpose()?.unwrap_or(0);
                return Self::new(index?.saturating_sub(least), count?);
            }
        }
        Ok(Self::WHOLE)
    }

    fn new(index: usize, count: usize) -> Result<Self, String> {
        if index < count {
            return Ok(Self { index, count });
        }
        Err(format!(
            "there is no shard {index} of {count}: they are counted from 0"
        ))
    }

    /// Whether a unit belongs to it.
    pub(crate) const fn has(self, unit: usize) -> bool {
        unit % self.count == self.index
    }

    /// The file of rows of a command.
    pub(crate) fn file(self, command: &str) -> String {
        match self {
            Self::WHOLE => format!("{command}.jsonl"),
            Self { index, count } => format!("{command}.{index}-of-{count}.jsonl"),
        }
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .split_once('/')
            .and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        let (index, count) = parts.ok_or("give it as 0/4, 1/4, ..")?;
        Self::new(index, count)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_read_from_text_and_from_array_jobs() {
        assert_eq!("1/4".parse(), Ok(Shard { index: 1, count: 4 }));
        for wrong in ["4/4", "0/0", "1", "a/b", "-1/2"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
        let slurm = |name: &str| match name {
            "SLURM_ARRAY_TASK_ID" => Some("5".to_owned()),
            "SLURM_ARRAY_TASK_COUNT" => Some("4".to_owned()),
            "SLURM_ARRAY_TASK_MIN" => Some("2".to_owned()),
            _ => None,
        };
        let shard = Shard::from_variables(slurm);
        assert_eq!(shard, Ok(Shard { index: 3, count: 4 }));
        assert_eq!(Shard::from_variables(|_| None), Ok(Shard::WHOLE));
        let broken = |name: &str| slurm(name).map(|_| "x".to_owned());
        assert!(Shard::from_variables(broken).is_err());
    }

    #[test]
    fn every_unit_belongs_to_one_shard() {
        for unit in 0..10 {
            let owners = (0..3).filter(|&index| Shard { index, count: 3 }.has(unit));
            assert_eq!(owners.count(), 1, "unit {unit}");
        }
    }
}
