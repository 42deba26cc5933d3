//! What schedulers read from a configuration beside plain fields.

use super::error::SchedulerError;
use crate::models::config::{ConfigError, Fields};

/// A number above zero, if the field is there.
pub(super) fn positive(fields: &Fields, field: &'static str) -> Result<Option<f64>, ConfigError> {
    match fields.optional_number(field)? {
        Some(number) if number <= 0.0 => Err(fields.error(field, "above 0")),
        number => Ok(number),
    }
}

/// A number that may be Python's negative infinity, which it is if the field is absent.
pub(super) fn lower_bound(fields: &Fields, field: &'static str) -> Result<f64, ConfigError> {
    match fields.value(field) {
        Some(value) if value == "-Infinity" => Ok(f64::NEG_INFINITY),
        _ => fields.number_or(field, f64::NEG_INFINITY),
    }
}

/// The range to which `flag` clips the predicted picture, if it is set.
pub(super) fn clip(
    fields: &Fields,
    flag: &'static str,
    default: bool,
) -> Result<Option<f64>, ConfigError> {
    let range = positive(fields, "clip_sample_range")?.unwrap_or(1.0);
    Ok(fields.flag_or(flag, default)?.then_some(range))
}

/// The order of a multistep solver.
pub(super) fn order(fields: &Fields, most: usize) -> Result<usize, ConfigError> {
    fields.size_or("solver_order", 1..=most, 2)
}

/// Checks a number of inference steps.
pub(super) fn check_steps(
    fields: &Fields,
    steps: usize,
    min: usize,
    max: usize,
) -> Result<(), SchedulerError> {
    match (min..=max).contains(&steps) {
        true => Ok(()),
        false => Err(SchedulerError::Steps {
            class: fields.model(),
            steps,
            min,
            max,
        }),
    }
}

/// Checks that timesteps index the training schedule.
pub(super) fn within(
    fields: &Fields,
    timesteps: Vec<i64>,
    train: usize,
) -> Result<Vec<usize>, SchedulerError> {
    let check = |(step, timestep): (usize, i64)| {
        let index = usize::try_from(timestep)
            .ok()
            .filter(|index| *index < train);
        index.ok_or(SchedulerError::Timestep {
            class: fields.model(),
            step,
            timestep,
            train,
        })
    };
    timesteps.into_iter().enumerate().map(check).collect()
}
