//! Maps as pictures.

use std::error::Error;

use conceptrol_core::{
    analysis::heat_map,
    mask::{ConceptMask, MaskNorm},
};
use image::RgbImage;
use ndarray::Array2;

/// The map of the first picture, its peak white.
///
/// # Errors
///
/// If its values cannot be read from their device.
pub fn heat(map: &ConceptMask) -> Result<RgbImage, Box<dyn Error>> {
    let values = first(&map.clone().normalized(MaskNorm::Max))?;
    let (samples, _) = heat_map(values.view(), 1.0).into_raw_vec_and_offset();
    let grid = map.grid();
    let (width, height) = (u32::try_from(grid.width)?, u32::try_from(grid.height)?);
    Ok(RgbImage::from_raw(width, height, samples).expect("three samples a cell"))
}

/// The values of the first picture's map, `[height, width]`.
///
/// # Errors
///
/// If its values cannot be read from their device.
pub fn first(map: &ConceptMask) -> Result<Array2<f32>, Box<dyn Error>> {
    let grid = map.grid();
    let row = map.values().clone().slice_dim(0, 0..1);
    let values = row.into_data().convert::<f32>().try_into_vec()?;
    Ok(Array2::from_shape_vec((grid.height, grid.width), values)?)
}
