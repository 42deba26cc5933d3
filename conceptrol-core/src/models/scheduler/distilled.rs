//! Timesteps of models that were distilled to few steps.

use super::{error::SchedulerError, fields::check_steps, options::SchedulerOptions};
use crate::models::config::Fields;

/// Steps of the schedule that a model was distilled on, of which `steps` are made.
pub(super) fn length(
    fields: &Fields,
    options: &SchedulerOptions,
    steps: usize,
    train: usize,
) -> Result<usize, SchedulerError> {
    let configured = fields.size_or("original_inference_steps", 0..=train, 50)?;
    let length = options.original_inference_steps.unwrap_or(configured);
    check_steps(fields, length, 1, train)?;
    check_steps(fields, steps, 1, length)?;
    Ok(length)
}

/// Evenly spaced members, from the last, of the schedule of `distilled` steps that the model was distilled on.
pub(super) fn timesteps(train: usize, distilled: usize, steps: usize) -> Vec<usize> {
    let stride = distilled as f64 / steps as f64;
    let member = |i: usize| distilled - (i as f64 * stride).floor() as usize;
    (0..steps)
        .map(|i| member(i) * (train / distilled) - 1)
        .collect()
}
