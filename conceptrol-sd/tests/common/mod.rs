//! What several test binaries use.
#![allow(dead_code, reason = "each test binary uses its part")]

/// The largest of some numbers; NaN if there is one, so that no comparison passes because of it.
pub(crate) fn largest(numbers: impl IntoIterator<Item = f32>) -> f32 {
    let larger = |most: f32, x: f32| if x.is_nan() || x > most { x } else { most };
    numbers.into_iter().fold(0.0, larger)
}
