//! Timesteps of models that were distilled to few steps.

/// Evenly spaced members, from the last, of the schedule of `distilled` steps that the model was distilled on.
pub(super) fn timesteps(train: usize, distilled: usize, steps: usize) -> Vec<usize> {
    let stride = distilled as f64 / steps as f64;
    let member = |i: usize| distilled - (i as f64 * stride).floor() as usize;
    (0..steps)
        .map(|i| member(i) * (train / distilled) - 1)
        .collect()
}
