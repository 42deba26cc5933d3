//! The colours of heat maps.

/// Black through violet, red and yellow to white: brightness rises steadily, so the map survives printing in grey.
const STOPS: [[f32; 3]; 6] = [
    [0.0, 0.0, 8.0],
    [70.0, 10.0, 110.0],
    [180.0, 40.0, 95.0],
    [240.0, 110.0, 35.0],
    [250.0, 200.0, 60.0],
    [255.0, 255.0, 230.0],
];

/// The colour of a value in 0..=1; what is beyond is clipped, NaN is grey.
pub(super) fn heat(value: f32) -> [u8; 3] {
    if value.is_nan() {
        return [128; 3];
    }
    let at = value.clamp(0.0, 1.0) * (STOPS.len() - 1) as f32;
    let first = (at as usize).min(STOPS.len() - 2);
    let share = at - first as f32;
    let (a, b) = (STOPS[first], STOPS[first + 1]);
    [0, 1, 2].map(|c| (a[c] + (b[c] - a[c]) * share).round() as u8)
}
