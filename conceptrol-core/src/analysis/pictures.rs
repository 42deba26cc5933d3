//! Masks as pictures.

use ndarray::{Array2, Array3, ArrayView2, ArrayView3};

/// Black through violet, red and yellow to white: brightness rises steadily, so the map survives printing in grey.
const STOPS: [[f32; 3]; 6] = [
    [0.0, 0.0, 8.0],
    [70.0, 10.0, 110.0],
    [180.0, 40.0, 95.0],
    [240.0, 110.0, 35.0],
    [250.0, 200.0, 60.0],
    [255.0, 255.0, 230.0],
];

/// Colours a mask: 0 is black, `brightest` (and what is above) nearly white. NaN is grey.
///
/// A peak-normalised mask (SD, SDXL) wants 1, one with mean 1 (FLUX) its maximum or a fixed multiple.
///
/// # Shapes
/// - `mask`: `[height, width]`
/// - result: `[height, width, 3]`, red, green, blue
///
/// ```
/// use conceptrol_core::analysis::heat_map;
/// use ndarray::array;
///
/// let picture = heat_map(array![[0.0, 0.5, 1.0]].view(), 1.0);
/// assert_eq!(picture.dim(), (1, 3, 3));
/// assert!(picture[[0, 0, 0]] < picture[[0, 1, 0]] && picture[[0, 1, 0]] < picture[[0, 2, 0]]);
/// ```
pub fn heat_map(mask: ArrayView2<'_, f32>, brightest: f32) -> Array3<u8> {
    let (height, width) = mask.dim();
    let mut picture = Array3::zeros((height, width, 3));
    for ((y, x), &value) in mask.indexed_iter() {
        for (c, sample) in heat(value / brightest).into_iter().enumerate() {
            picture[[y, x, c]] = sample;
        }
    }
    picture
}

/// Lays the heat map of a mask over a picture. The mask is brought to the picture's size bilinearly; where it is 0 the
/// picture shows through unchanged, where it is `brightest` or more the colour covers `opacity` (0..=1) of it.
///
/// # Shapes
/// - `picture`: `[height, width, 3]`
/// - `mask`: `[rows, columns]`, any grid
/// - result: `[height, width, 3]`
///
/// ```
/// use conceptrol_core::analysis::overlay;
/// use ndarray::{Array3, array};
///
/// let grey = Array3::from_elem((4, 4, 3), 100);
/// let over = overlay(grey.view(), array![[0.0, 1.0]].view(), 1.0, 0.6);
/// assert_eq!(over[[0, 0, 0]], 100);
/// assert!(over[[0, 3, 0]] > 150);
/// ```
pub fn overlay(
    picture: ArrayView3<'_, u8>,
    mask: ArrayView2<'_, f32>,
    brightest: f32,
    opacity: f32,
) -> Array3<u8> {
    let (height, width, channels) = picture.dim();
    let mut out = picture.to_owned();
    let mask = resize_bilinear(mask, height, width);
    for ((y, x), &value) in mask.indexed_iter() {
        let value = value / brightest;
        // NaN covers nothing.
        let cover = value.clamp(0.0, 1.0).max(0.0) * opacity.clamp(0.0, 1.0).max(0.0);
        for (c, colour) in heat(value).into_iter().enumerate().take(channels) {
            let sample = f32::from(out[[y, x, c]]);
            out[[y, x, c]] = (sample + (f32::from(colour) - sample) * cover).round() as u8;
        }
    }
    out
}

/// A mask on another grid, bilinear between the centres of its cells, constant beyond the outermost ones (torch's
/// `interpolate(mode="bilinear", align_corners=False)`; no antialiasing). Empty if the mask or the grid is.
///
/// # Shapes
/// - `mask`: `[rows, columns]`
/// - result: `[height, width]`
///
/// ```
/// use conceptrol_core::analysis::resize_bilinear;
/// use ndarray::array;
///
/// let wide = resize_bilinear(array![[0.0, 1.0]].view(), 1, 4);
/// assert_eq!(wide, array![[0.0, 0.25, 0.75, 1.0]]);
/// ```
pub fn resize_bilinear(mask: ArrayView2<'_, f32>, height: usize, width: usize) -> Array2<f32> {
    if mask.is_empty() {
        return Array2::zeros((0, 0));
    }
    let rows = neighbours(mask.nrows(), height);
    let columns = neighbours(mask.ncols(), width);
    Array2::from_shape_fn((height, width), |(y, x)| {
        let ((top, bottom, down), (left, right, along)) = (rows[y], columns[x]);
        let mix = |row: usize| mask[[row, left]] * (1.0 - along) + mask[[row, right]] * along;
        mix(top) * (1.0 - down) + mix(bottom) * down
    })
}

/// For each new position the two old ones around it and how far it is towards the second.
fn neighbours(from: usize, to: usize) -> Vec<(usize, usize, f32)> {
    let scale = from as f32 / to as f32;
    let place = |i: usize| {
        let at = ((i as f32 + 0.5) * scale - 0.5).max(0.0);
        let first = (at as usize).min(from - 1);
        (first, (first + 1).min(from - 1), at - first as f32)
    };
    (0..to).map(place).collect()
}

/// The colour of a value in 0..=1; what is beyond is clipped, NaN is grey.
fn heat(value: f32) -> [u8; 3] {
    if value.is_nan() {
        return [128; 3];
    }
    let at = value.clamp(0.0, 1.0) * (STOPS.len() - 1) as f32;
    let first = (at as usize).min(STOPS.len() - 2);
    let share = at - first as f32;
    let (a, b) = (STOPS[first], STOPS[first + 1]);
    [0, 1, 2].map(|c| (a[c] + (b[c] - a[c]) * share).round() as u8)
}
