//! Pictures within a page.

use std::path::PathBuf;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use conceptrol_core::models::image::{encode_png, open};
use image::{RgbImage, imageops};

/// Larger pictures are scaled down to this, so that a page of many stays small.
const EDGE: u32 = 192;

/// The first of the files that exists, as the address of an `img`.
///
/// # Errors
///
/// What is wrong, in the words of the page.
pub(crate) fn data_uri(files: &[PathBuf]) -> Result<String, &'static str> {
    let file = files.iter().find(|file| file.is_file()).ok_or("no file")?;
    let picture = open(file).map_err(|_| "not readable")?;
    let png = encode_png(&fit(picture), &[]).map_err(|_| "not readable")?;
    Ok(format!(
        "data:image/png;base64,{}",
        BASE64_STANDARD.encode(png)
    ))
}

fn fit(picture: RgbImage) -> RgbImage {
    let longest = picture.width().max(picture.height());
    if longest <= EDGE {
        return picture;
    }
    let scaled = |length: u32| (length * EDGE / longest).max(1);
    let (width, height) = (scaled(picture.width()), scaled(picture.height()));
    imageops::resize(&picture, width, height, imageops::FilterType::Triangle)
}
