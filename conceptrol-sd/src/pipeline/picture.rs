//! Pictures that a generation reads: control pictures, pictures to edit.

use std::borrow::Cow;

use conceptrol_core::{
    models::image::{Filter, resize},
    pipeline::{ImageSize, PipelineError},
};
use image::RgbImage;

/// The picture at the size of the generation; one of another size is resized as diffusers does, by Pillow's Lanczos filter.
///
/// # Panics
///
/// If the picture is empty or the size beyond that of pictures; both are [checked](check_picture) before.
pub(super) fn at_size(picture: &RgbImage, size: ImageSize) -> Cow<'_, RgbImage> {
    let side = |side: usize| u32::try_from(side).expect("a checked size");
    let (width, height) = (side(size.width), side(size.height));
    match picture.dimensions() == (width, height) {
        true => Cow::Borrowed(picture),
        false => Cow::Owned(resize(picture, width, height, Filter::Lanczos)),
    }
}

/// The size of a picture, each side rounded down to a multiple.
pub(super) fn own_size(picture: &RgbImage, multiple: usize) -> ImageSize {
    let down = |side: u32| side as usize / multiple * multiple;
    ImageSize::new(down(picture.height()), down(picture.width()))
}

/// That a picture has pixels.
pub(super) fn check_picture(what: &'static str, picture: &RgbImage) -> Result<(), PipelineError> {
    let (width, height) = picture.dimensions();
    match width > 0 && height > 0 {
        true => Ok(()),
        false => Err(PipelineError::bad_request(
            what,
            format!("{width}x{height} pixels"),
            "a picture with pixels",
        )),
    }
}
