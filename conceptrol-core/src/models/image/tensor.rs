//! Pictures as tensors and back.

use burn::tensor::{DType, Device, Tensor, TensorData};
use image::RgbImage;

use super::clip::{ClipImageConfig, clip_preprocess};
use super::error::ImageError;

/// Pictures as the vision encoder takes them, in `f32`; see [`clip_preprocess`].
///
/// # Shapes
/// - result: `[pictures, 3, crop_size, crop_size]`
///
/// # Errors
/// Those of [`clip_crop`](super::clip_crop).
pub fn clip_tensor(
    pictures: &[RgbImage],
    config: &ClipImageConfig,
    device: &Device,
) -> Result<Tensor<4>, ImageError> {
    let mut values = Vec::new();
    for picture in pictures {
        values.extend(clip_preprocess(picture, config)?);
    }
    let side = config.crop_size as usize;
    let data = TensorData::new(values, [pictures.len(), 3, side, side]);
    Ok(Tensor::from_data(data, (device, DType::F32)))
}

/// A picture as the autoencoder takes it: samples in -1..=1, in `f32`.
///
/// # Shapes
/// - result: `[1, 3, height, width]`
pub fn image_to_tensor(picture: &RgbImage, device: &Device) -> Tensor<4> {
    planes(picture, device, |sample| 2.0 * sample - 1.0)
}

/// A picture as `ControlNets` take it: samples in 0..=1, in `f32`.
///
/// # Shapes
/// - result: `[1, 3, height, width]`
pub fn image_to_unit_tensor(picture: &RgbImage, device: &Device) -> Tensor<4> {
    planes(picture, device, |sample| sample)
}

/// The channels one after the other, `change` applied to samples in 0..=1.
fn planes(picture: &RgbImage, device: &Device, change: impl Fn(f32) -> f32) -> Tensor<4> {
    let (width, height) = picture.dimensions();
    let change = &change;
    let planes = (0..3).flat_map(|channel| {
        let samples = picture.pixels().map(move |pixel| pixel.0[channel]);
        samples.map(move |sample| change(f32::from(sample) / 255.0))
    });
    let values: Vec<f32> = planes.collect();
    let data = TensorData::new(values, [1, 3, height as usize, width as usize]);
    Tensor::from_data(data, (device, DType::F32))
}

/// The autoencoder's output as pictures: -1..=1 becomes 0..=255, rounded half to even; what is beyond is clipped, NaN is 0.
///
/// # Shapes
/// - `samples`: `[pictures, 3, height, width]`
///
/// # Panics
/// If there are not three channels, or the device does not give its numbers.
pub fn tensor_to_images(samples: Tensor<4>) -> Vec<RgbImage> {
    let [_, channels, height, width] = samples.dims();
    assert_eq!(channels, 3, "a picture has three channels");
    data_to_images(samples.into_data(), [height, width])
}

/// The same of numbers that were read: pictures of three channels.
pub(crate) fn data_to_images(samples: TensorData, [height, width]: [usize; 2]) -> Vec<RgbImage> {
    let values: Vec<f32> = samples
        .convert::<f32>()
        .try_into_vec()
        .expect("the data was converted to f32");
    let plane = height * width;
    let picture = |values: &[f32]| {
        RgbImage::from_fn(width as u32, height as u32, |x, y| {
            let at = y as usize * width + x as usize;
            image::Rgb([0, 1, 2].map(|channel| to_u8(values[channel * plane + at])))
        })
    };
    match plane {
        0 => Vec::new(),
        _ => values.chunks_exact(3 * plane).map(picture).collect(),
    }
}

fn to_u8(sample: f32) -> u8 {
    ((sample / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8
}
