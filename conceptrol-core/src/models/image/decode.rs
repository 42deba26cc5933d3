//! Reading picture files, which are hostile input.

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

use super::convert::to_rgb;
use super::error::ImageError;
use super::whole::is_whole;
use crate::models::file::{self, Content, ReadError};

/// Pixels a side may have.
const MAX_SIDE: u32 = 16_384;
/// Pixels there may be: 16-bit RGBA of this many takes 800 MB while it is decoded.
const MAX_PIXELS: u64 = 100_000_000;
/// Bytes a file may have.
const MAX_FILE: u64 = 512 << 20;

/// Reads a PNG, JPEG or WebP file as 8-bit RGB; see [`decode`].
///
/// # Errors
/// [`ImageError::File`] with the file and what is wrong.
pub fn open(path: impl AsRef<Path>) -> Result<RgbImage, ImageError> {
    let path = path.as_ref();
    read(path)
        .and_then(|bytes| decode(&bytes))
        .map_err(|error| error.at(path))
}

/// Decodes a PNG, JPEG or WebP picture to 8-bit RGB, upright.
///
/// Which format it is, its first bytes say, not the name. Of an animation the first frame counts. Colours become RGB as
/// Pillow's `convert("RGB")` makes them: grey is repeated, palettes are looked up, alpha is dropped (the colours below it
/// stay as they are), of 16 bits the upper 8 count. CMYK is converted without a profile. Unlike there, 16-bit grey is
/// not clipped, and the orientation a camera noted (Exif) is applied.
///
/// # Errors
/// [`ImageError`] if the format is unknown, the data broken or cut short, or the picture empty or too large (more than
/// 16384 pixels a side or 100 million in all); size is checked before anything is decoded.
pub fn decode(bytes: &[u8]) -> Result<RgbImage, ImageError> {
    picture(bytes).map(to_rgb)
}

/// The picture with the samples and channels of its file, upright.
pub(super) fn picture(bytes: &[u8]) -> Result<DynamicImage, ImageError> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let known = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP];
    let format = reader.format().filter(|format| known.contains(format));
    let format = format.ok_or_else(|| match Content::of(bytes) {
        None | Some(Content::Nothing | Content::Picture(_)) => ImageError::UnknownFormat,
        Some(found) => ImageError::NotPicture(found),
    })?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_PIXELS * 8);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    check_size(width, height)?;
    if !is_whole(bytes, format) {
        let reason = format!(
            "the file is cut short: it ends after {} bytes, before the picture does",
            bytes.len()
        );
        return Err(ImageError::Decode(reason));
    }
    let orientation = decoder.orientation().map_err(broken)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(broken)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

/// A picture's file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ImageError> {
    file::read(path, MAX_FILE).map_err(|error| match error {
        ReadError::Io(error) => ImageError::Io(error),
        ReadError::TooLarge { size, limit } => ImageError::FileTooLarge { size, limit },
    })
}

fn check_size(width: u32, height: u32) -> Result<(), ImageError> {
    if width == 0 || height == 0 {
        return Err(ImageError::Empty { width, height });
    }
    if width.max(height) > MAX_SIDE || u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(ImageError::TooLarge {
            width,
            height,
            side: MAX_SIDE,
            pixels: MAX_PIXELS,
        });
    }
    Ok(())
}

fn broken(error: image::ImageError) -> ImageError {
    ImageError::Decode(error.to_string())
}
