//! Resizing, bit for bit as Pillow does it: two passes over 8-bit samples, weights in fixed point.
//!
//! Vision encoders see other numbers if the resize differs, and most libraries' do (rounding, edges, antialiasing).

use std::ops::Range;

use image::RgbImage;

use super::filter::Filter;

/// Fractional bits of a weight: 32 less 8 for the sample and 2 against overflow.
const PRECISION: u32 = 32 - 8 - 2;

/// A part of a picture, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First column.
    pub left: u32,
    /// First row.
    pub top: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// Resizes a picture, which must not be empty, without keeping its aspect ratio. Equals `Image.resize` of Pillow.
///
/// # Panics
/// If the picture or the size is empty.
///
/// ```
/// use conceptrol_core::models::image::{Filter, RgbImage, resize};
///
/// let picture = RgbImage::from_pixel(5, 4, image::Rgb([9, 8, 7]));
/// let resized = resize(&picture, 512, 512, Filter::Bicubic);
/// assert_eq!(resized.get_pixel(511, 0).0, [9, 8, 7]);
/// ```
pub fn resize(picture: &RgbImage, width: u32, height: u32, filter: Filter) -> RgbImage {
    let all = Window {
        left: 0,
        top: 0,
        width,
        height,
    };
    resize_window(picture, (width, height), all, filter)
}

/// The part `window` of the picture resized to `size` (width, height). Costs what the part costs: a crop of an extremely
/// long picture never computes, or allocates, the rest.
///
/// # Panics
/// If the picture, the size or the window is empty, or the window reaches beyond the size.
pub fn resize_window(
    picture: &RgbImage,
    size: (u32, u32),
    window: Window,
    filter: Filter,
) -> RgbImage {
    let Window {
        left,
        top,
        width,
        height,
    } = window;
    assert!(
        picture.width() > 0 && picture.height() > 0,
        "a picture with pixels is resized"
    );
    assert!(
        width > 0 && height > 0,
        "a picture is resized to some pixels"
    );
    let fits = left.checked_add(width).is_some_and(|right| right <= size.0)
        && top
            .checked_add(height)
            .is_some_and(|bottom| bottom <= size.1);
    assert!(fits, "the window lies in the resized picture");

    let columns = taps(picture.width(), size.0, left..left + width, filter);
    let rows = taps(picture.height(), size.1, top..top + height, filter);
    // Rows and columns nobody looks at are not computed.
    let (seen_columns, seen_rows) = (seen(&columns), seen(&rows));
    let stride = 3 * picture.width() as usize;
    let source: &[u8] = picture.as_raw();
    let lines = source[seen_rows.start * stride..seen_rows.end * stride].chunks_exact(stride);
    let seen_part = lines.flat_map(|line| &line[3 * seen_columns.start..3 * seen_columns.end]);
    let part: Vec<u8> = seen_part.copied().collect();
    let out = if vertical_first(picture.dimensions(), size) {
        let low = down(&part, seen_columns.len(), &rows, seen_rows.start);
        across(&low, seen_columns.len(), &columns, seen_columns.start)
    } else {
        let narrow = across(&part, seen_columns.len(), &columns, seen_columns.start);
        down(&narrow, width as usize, &rows, seen_rows.start)
    };
    RgbImage::from_raw(width, height, out).expect("three samples were computed for each pixel")
}

/// Whether rows are mixed before columns: Pillow 13 does so where the height shrinks more than twice as many pixels as the
/// width. Between the passes samples are rounded to 8 bits, so the order shows. Found by comparing results.
fn vertical_first((w, h): (u32, u32), (width, height): (u32, u32)) -> bool {
    let [w, h, width, height] = [w, h, width, height].map(i64::from);
    h > height && 2 * (w - width) < h - height
}

/// The input positions that taps look at.
fn seen(taps: &[Tap]) -> Range<usize> {
    let first = taps.iter().map(|tap| tap.first).min();
    let last = taps.iter().map(|tap| tap.first + tap.weights.len()).max();
    first.unwrap_or(0)..last.unwrap_or(0)
}

/// Lines of `width` pixels, each mixed to one pixel a tap; the first of a line has the position `first`.
fn across(lines: &[u8], width: usize, taps: &[Tap], first: usize) -> Vec<u8> {
    let lines = lines.chunks_exact(3 * width);
    let mix = |line: &[u8]| {
        let pixel = |tap: &Tap| tap.apply(|i| &line[3 * (i - first)..]);
        taps.iter().flat_map(pixel).collect::<Vec<_>>()
    };
    lines.flat_map(mix).collect()
}

/// Lines of `width` pixels mixed to one line a tap; the first of them has the position `first`.
fn down(lines: &[u8], width: usize, taps: &[Tap], first: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(3 * width * taps.len());
    for tap in taps {
        for x in 0..width {
            out.extend(tap.apply(|i| &lines[3 * ((i - first) * width + x)..]));
        }
    }
    out
}

/// What one output position is made of.
struct Tap {
    first: usize,
    weights: Vec<i32>,
}

impl Tap {
    /// The weighted sum over the pixels `pixel(i)`, clipped to 8 bits.
    fn apply<'a>(&self, pixel: impl Fn(usize) -> &'a [u8]) -> [u8; 3] {
        let mut sums = [1 << (PRECISION - 1); 3];
        for (i, &weight) in self.weights.iter().enumerate() {
            let samples = pixel(self.first + i);
            for (sum, &sample) in sums.iter_mut().zip(samples) {
                *sum += i32::from(sample) * weight;
            }
        }
        sums.map(|sum| (sum >> PRECISION).clamp(0, 255) as u8)
    }
}

/// The taps of the output positions `range` when `from` positions become `to`.
fn taps(from: u32, to: u32, range: Range<u32>, filter: Filter) -> Vec<Tap> {
    // Pillow skips a pass that changes nothing.
    if from == to {
        let unit = |i| Tap {
            first: i as usize,
            weights: vec![1 << PRECISION],
        };
        return range.map(unit).collect();
    }
    let scale = f64::from(from) / f64::from(to);
    let stretch = scale.max(1.0);
    let support = filter.support() * stretch;
    let tap = |i: u32| {
        let center = (f64::from(i) + 0.5) * scale;
        let first = (center - support + 0.5).max(0.0) as usize;
        let last = ((center + support + 0.5) as usize).min(from as usize);
        let weights: Vec<f64> = (first..last)
            .map(|x| filter.weight((x as f64 - center + 0.5) * (1.0 / stretch)))
            .collect();
        let total: f64 = weights.iter().sum();
        let fixed = |w: f64| {
            let w = if total == 0.0 { w } else { w / total };
            let w = w * f64::from(1 << PRECISION);
            (if w < 0.0 { w - 0.5 } else { w + 0.5 }) as i32
        };
        Tap {
            first,
            weights: weights.into_iter().map(fixed).collect(),
        }
    };
    range.map(tap).collect()
}
