//! Pictures within a page.

use std::path::PathBuf;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use conceptrol_core::models::image::{encode_png, open};
use conceptrol_examples::sheet::sheet as labelled;
use image::{Rgb, RgbImage, imageops};

use super::part::Sheet;

/// Larger pictures are scaled down to this, so that a page of many stays small.
const EDGE: u32 = 192;
/// Cases of so many pictures stand side by side.
const NARROW: usize = 4;
const WHITE: Rgb<u8> = Rgb([255; 3]);

/// A sheet as a PNG file: two narrow cases a row, or a wide one; `None` if none of its pictures can be read.
pub(crate) fn sheet(sheet: &Sheet) -> Option<Vec<u8>> {
    let columns = sheet.cases.iter().map(|case| case.shots.len()).max()?;
    let mut pictures = Vec::new();
    for case in &sheet.cases {
        for column in 0..columns {
            let shot = case.shots.get(column);
            let label = shot.map_or("", |shot| shot.label.as_str());
            let picture = shot.and_then(|shot| read(&shot.files).ok());
            pictures.push((
                label,
                picture.unwrap_or_else(|| RgbImage::from_pixel(1, 1, WHITE)),
            ));
        }
    }
    let beside = if columns <= NARROW { 2 } else { 1 };
    let columns = u32::try_from(columns * beside).ok()?;
    encode_png(&labelled(&pictures, columns, EDGE), &[]).ok()
}

/// The first of the files that exists, as the address of an `img`.
///
/// # Errors
///
/// What is wrong, in the words of the page.
pub(crate) fn data_uri(files: &[PathBuf]) -> Result<String, &'static str> {
    let png = encode_png(&fit(read(files)?), &[]).map_err(|_| "not readable")?;
    Ok(format!(
        "data:image/png;base64,{}",
        BASE64_STANDARD.encode(png)
    ))
}

fn read(files: &[PathBuf]) -> Result<RgbImage, &'static str> {
    let file = files.iter().find(|file| file.is_file()).ok_or("no file")?;
    open(file).map_err(|_| "not readable")
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
