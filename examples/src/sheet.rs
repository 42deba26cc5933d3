//! Pictures side by side, with labels.

use image::{Rgb, RgbImage, imageops};

use crate::sheet::font::{GLYPH_HEIGHT, GLYPH_WIDTH, glyph};

mod font;

/// Space around pictures, in pixels.
const MARGIN: u32 = 8;
/// Height of the label under a picture: two pixels a font pixel.
const SCALE: u32 = 2;
const LABEL: u32 = GLYPH_HEIGHT * SCALE + MARGIN;

/// Pictures in rows of `columns`, each with its label below.
///
/// Pictures smaller than `edge` are enlarged by whole factors, so that pixels stay pixels; larger
/// ones are scaled down.
///
/// ```
/// use conceptrol_examples::sheet::sheet;
/// let red = image::RgbImage::from_pixel(4, 4, image::Rgb([255, 0, 0]));
/// let sheet = sheet(&[("red", red.clone()), ("again", red)], 2, 64);
/// assert_eq!(sheet.dimensions(), (2 * 64 + 3 * 8, 64 + 2 * 8 + 22));
/// ```
pub fn sheet(pictures: &[(&str, RgbImage)], columns: u32, edge: u32) -> RgbImage {
    let columns = columns.max(1);
    let rows = u32::try_from(pictures.len())
        .unwrap_or(u32::MAX)
        .div_ceil(columns);
    let (cell_width, cell_height) = (edge + MARGIN, edge + MARGIN + LABEL);
    let mut sheet = RgbImage::from_pixel(
        columns * cell_width + MARGIN,
        rows * cell_height + MARGIN,
        Rgb([255, 255, 255]),
    );
    for (index, (label, picture)) in (0..).zip(pictures) {
        let left = MARGIN + index % columns * cell_width;
        let top = MARGIN + index / columns * cell_height;
        let fitted = fit(picture, edge);
        let x = left + (edge - fitted.width()) / 2;
        let y = top + (edge - fitted.height()) / 2;
        imageops::replace(&mut sheet, &fitted, i64::from(x), i64::from(y));
        write(&mut sheet, label, left, top + edge + MARGIN / 2, edge);
    }
    sheet
}

/// The picture within a square of `edge` pixels.
fn fit(picture: &RgbImage, edge: u32) -> RgbImage {
    let longest = picture.width().max(picture.height()).max(1);
    if longest <= edge {
        let factor = edge / longest;
        let (width, height) = (picture.width() * factor, picture.height() * factor);
        return imageops::resize(picture, width, height, imageops::FilterType::Nearest);
    }
    let scaled =
        |length: u32| (u64::from(length) * u64::from(edge) / u64::from(longest)).max(1) as u32;
    let (width, height) = (scaled(picture.width()), scaled(picture.height()));
    imageops::resize(picture, width, height, imageops::FilterType::Triangle)
}

/// Writes a line of text, cut where it does not fit into `width`.
fn write(sheet: &mut RgbImage, text: &str, left: u32, top: u32, width: u32) {
    let fits = (width / ((GLYPH_WIDTH + 1) * SCALE)) as usize;
    for (index, character) in (0..).zip(text.chars().take(fits)) {
        let start = left + index * (GLYPH_WIDTH + 1) * SCALE;
        for (row, bits) in (0..).zip(glyph(character)) {
            for column in 0..GLYPH_WIDTH {
                if bits >> (GLYPH_WIDTH - 1 - column) & 1 == 1 {
                    let (x, y) = (start + column * SCALE, top + row * SCALE);
                    let dot = RgbImage::from_pixel(SCALE, SCALE, Rgb([0, 0, 0]));
                    imageops::replace(sheet, &dot, i64::from(x), i64::from(y));
                }
            }
        }
    }
}
