//! Writing pictures.

use std::io::Write;
use std::path::Path;

use image::RgbImage;

use super::error::ImageError;
use crate::models::file::write_whole;

/// Writes a PNG file with texts about the picture (keyword and text, such as `parameters` and how it was generated).
///
/// The file appears complete or not at all, see [`write_whole`]. Missing folders are created. An existing file is replaced.
///
/// # Errors
/// [`ImageError::File`] with the file and what is wrong.
pub fn save_png(
    path: impl AsRef<Path>,
    picture: &RgbImage,
    texts: &[(&str, &str)],
) -> Result<(), ImageError> {
    let path = path.as_ref();
    let write = || {
        let bytes = encode_png(picture, texts)?;
        write_whole(path, |file| Ok(file.write_all(&bytes)?))
    };
    write().map_err(|error: ImageError| error.at(path))
}

/// A picture as a PNG file in memory; see [`save_png`].
///
/// # Errors
/// [`ImageError::Empty`], or [`ImageError::Encode`] for a keyword that PNG does not allow (1 to 79 Latin-1 characters).
pub fn encode_png(picture: &RgbImage, texts: &[(&str, &str)]) -> Result<Vec<u8>, ImageError> {
    let (width, height) = picture.dimensions();
    if width == 0 || height == 0 {
        return Err(ImageError::Empty { width, height });
    }
    let failed = |error: png::EncodingError| ImageError::Encode(error.to_string());
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    for &(keyword, text) in texts {
        let (keyword, text) = (keyword.to_owned(), text.to_owned());
        // Plain text chunks are read by more programs, but hold Latin-1 only.
        if text.chars().all(|c| u32::from(c) < 256) {
            encoder.add_text_chunk(keyword, text).map_err(failed)?;
        } else {
            encoder.add_itxt_chunk(keyword, text).map_err(failed)?;
        }
    }
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(picture.as_raw()).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(bytes)
}
