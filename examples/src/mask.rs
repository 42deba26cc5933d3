//! Masks over pictures.

use conceptrol_core::{Grid, analysis::overlay, mask::ConceptMask};
use image::RgbImage;
use ndarray::{ArrayView2, ArrayView3, ShapeError};

/// A mask of the first picture, `[height, width]` row by row, read from the device.
pub fn on_host(mask: &ConceptMask) -> Vec<f32> {
    let first = mask.values().clone().slice_dim(0, 0..1);
    first.into_data().iter::<f32>().collect()
}

/// A mask as a heat map over a picture, its largest value brightest.
///
/// # Errors
///
/// If there are more or fewer values than cells of the grid.
pub fn over(picture: &RgbImage, grid: Grid, values: &[f32]) -> Result<RgbImage, ShapeError> {
    let (width, height) = picture.dimensions();
    let shape = (height as usize, width as usize, 3);
    let samples = ArrayView3::from_shape(shape, picture.as_raw())?;
    let brightest = values.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    let values = ArrayView2::from_shape((grid.height, grid.width), values)?;
    let (samples, _) = overlay(samples, values, brightest, 0.6).into_raw_vec_and_offset();
    Ok(RgbImage::from_raw(width, height, samples).expect("the overlay has the picture's size"))
}
