//! The part of a picture around a region: cut out and enlarged, repainted, and put back.

use image::{Rgb, RgbImage, imageops};

use crate::{
    models::image::{Filter, resize},
    pipeline::ImageSize,
};

/// A picture, the part that is cut out of it, and the mask by which the result is put back.
#[derive(Debug, Clone)]
pub(in crate::pipeline) struct Crop {
    picture: RgbImage,
    /// Grey, of the picture's size: white is the region.
    mask: RgbImage,
    part: Part,
}

/// Pixels `left..right` and `top..bottom` of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    left: i64,
    top: i64,
    right: i64,
    bottom: i64,
}

impl Crop {
    /// Cuts out the region with `padding` pixels around it, and as much more as the proportions of `size` ask for, as far as
    /// the picture reaches.
    pub(super) fn new(picture: &RgbImage, mask: &RgbImage, padding: u32, size: ImageSize) -> Self {
        Self {
            part: Part::around(mask, padding).of_proportions(size, picture.dimensions()),
            picture: picture.clone(),
            mask: mask.clone(),
        }
    }

    /// The part of the picture and of the mask, enlarged to `width` x `height`.
    pub(super) fn enlarged(&self, width: u32, height: u32) -> [RgbImage; 2] {
        [&self.picture, &self.mask].map(|whole| {
            let Part { left, top, .. } = self.part;
            let (w, h) = self.part.dimensions();
            let part = imageops::crop_imm(whole, at(left), at(top), w, h).to_image();
            within(&part, width, height)
        })
    }

    /// The picture with what was made of the part, as far as the mask says.
    pub(in crate::pipeline) fn put_back(&self, made: &RgbImage) -> RgbImage {
        let (width, height) = self.part.dimensions();
        let made = covering(made, width, height);
        let mut picture = self.picture.clone();
        for (x, y, new) in made.enumerate_pixels() {
            let (x, y) = (at(self.part.left) + x, at(self.part.top) + y);
            let share = u32::from(self.mask.get_pixel(x, y).0[0]);
            let old = picture.get_pixel(x, y).0;
            let mixed = |channel: usize| {
                let (new, old) = (u32::from(new.0[channel]), u32::from(old[channel]));
                ((new * share + old * (255 - share) + 127) / 255) as u8
            };
            picture.put_pixel(x, y, Rgb([0, 1, 2].map(mixed)));
        }
        picture
    }
}

impl Part {
    /// What of the mask is not black, and so many pixels around it. A mask that is black everywhere gives the whole picture.
    fn around(mask: &RgbImage, padding: u32) -> Self {
        let (width, height) = (i64::from(mask.width()), i64::from(mask.height()));
        let mut part = Self {
            left: width,
            top: height,
            right: 0,
            bottom: 0,
        };
        let marked = mask
            .enumerate_pixels()
            .filter(|(.., pixel)| pixel.0[0] != 0);
        for (x, y, _) in marked {
            let (x, y) = (i64::from(x), i64::from(y));
            part.left = part.left.min(x);
            part.top = part.top.min(y);
            part.right = part.right.max(x + 1);
            part.bottom = part.bottom.max(y + 1);
        }
        if part.right == 0 {
            (part.left, part.top, part.right, part.bottom) = (0, 0, width, height);
        }
        let padding = i64::from(padding);
        Self {
            left: (part.left - padding).max(0),
            top: (part.top - padding).max(0),
            right: (part.right + padding).min(width),
            bottom: (part.bottom + padding).min(height),
        }
    }

    /// Widened to the proportions of `size`, moved where it would leave the picture, and cut where that does not help.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "edges of pictures"
    )]
    fn of_proportions(mut self, size: ImageSize, (width, height): (u32, u32)) -> Self {
        let (w, h) = (self.right - self.left, self.bottom - self.top);
        let wanted = size.width as f64 / size.height as f64;
        if w as f64 / h as f64 > wanted {
            let missing = (w as f64 / wanted) as i64 - h;
            (self.top, self.bottom) = widened(self.top, self.bottom, missing, height.into());
        } else {
            let missing = (h as f64 * wanted) as i64 - w;
            (self.left, self.right) = widened(self.left, self.right, missing, width.into());
        }
        self
    }

    fn dimensions(self) -> (u32, u32) {
        (at(self.right - self.left), at(self.bottom - self.top))
    }
}

/// `missing` more pixels on both sides together, within `0..limit`.
fn widened(first: i64, last: i64, missing: i64, limit: i64) -> (i64, i64) {
    let (mut first, mut last) = (first - missing / 2, last + missing - missing / 2);
    if last > limit {
        (first, last) = (first - (last - limit), limit);
    }
    if first < 0 {
        (first, last) = (0, (last - first).min(limit));
    }
    (first, last)
}

fn at(pixels: i64) -> u32 {
    u32::try_from(pixels).expect("a part lies within its picture")
}

/// Resized to lie within `width` x `height` with its proportions, in the middle; its edges are repeated around it.
fn within(picture: &RgbImage, width: u32, height: u32) -> RgbImage {
    let (w, h) = fitting(picture.dimensions(), (width, height), false);
    let resized = resize(picture, w, h, Filter::Lanczos);
    if (w, h) == (width, height) {
        return resized;
    }
    let (left, top) = (width / 2 - w / 2, height / 2 - h / 2);
    RgbImage::from_fn(width, height, |x, y| {
        let inside = |at: u32, first: u32, size: u32| at.saturating_sub(first).min(size - 1);
        *resized.get_pixel(inside(x, left, w), inside(y, top, h))
    })
}

/// Resized to cover `width` x `height` with its proportions; what is beyond is cut off on both sides.
fn covering(picture: &RgbImage, width: u32, height: u32) -> RgbImage {
    let (w, h) = fitting(picture.dimensions(), (width, height), true);
    let resized = resize(picture, w, h, Filter::Lanczos);
    let (left, top) = (w / 2 - width / 2, h / 2 - height / 2);
    imageops::crop_imm(&resized, left, top, width, height).to_image()
}

/// The size of a picture that lies within another, or covers it, and touches it on two sides.
fn fitting((w, h): (u32, u32), (width, height): (u32, u32), cover: bool) -> (u32, u32) {
    let [w64, h64, width64, height64] = [w, h, width, height].map(u64::from);
    let short = |length: u64| u32::try_from(length.max(1)).expect("no longer than the other");
    // whether the picture is wider in proportion
    let wider = w64 * height64 > width64 * h64;
    if wider == cover {
        let scaled = short(w64 * height64 / h64);
        (if cover { scaled.max(width) } else { scaled }, height)
    } else {
        let scaled = short(h64 * width64 / w64);
        (width, if cover { scaled.max(height) } else { scaled })
    }
}

#[cfg(test)]
mod tests {
    use super::{Crop, ImageSize, Part, Rgb, RgbImage, covering, within};

    /// White within `[left, top, right, bottom]`.
    fn mask((width, height): (u32, u32), [left, top, right, bottom]: [u32; 4]) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            let inside = (left..right).contains(&x) && (top..bottom).contains(&y);
            Rgb([if inside { 255 } else { 0 }; 3])
        })
    }

    /// What `VaeImageProcessor.get_crop_region` of diffusers 0.32.2 gives.
    #[test]
    fn parts_are_those_of_diffusers() {
        for (picture, region, padding, (width, height), expected) in [
            ((100, 70), [75, 34, 80, 58], 16, (96, 64), [22, 18, 100, 70]),
            ((90, 200), [74, 16, 84, 20], 4, (96, 64), [70, 12, 88, 24]),
            (
                (90, 200),
                [29, 49, 75, 170],
                16,
                (64, 128),
                [13, 33, 90, 187],
            ),
            ((64, 64), [25, 40, 35, 48], 16, (64, 64), [9, 22, 51, 64]),
            (
                (90, 200),
                [49, 189, 50, 191],
                0,
                (64, 128),
                [49, 189, 50, 191],
            ),
            ((100, 70), [38, 49, 40, 58], 4, (64, 128), [34, 44, 44, 64]),
            (
                (90, 200),
                [49, 182, 77, 195],
                16,
                (64, 128),
                [33, 86, 90, 200],
            ),
            ((64, 64), [8, 23, 15, 26], 0, (96, 64), [8, 23, 15, 27]),
            ((100, 70), [33, 61, 89, 66], 4, (64, 128), [29, 0, 93, 70]),
            ((64, 64), [36, 22, 54, 60], 4, (64, 128), [32, 12, 58, 64]),
        ] {
            let part = Part::around(&mask(picture, region), padding);
            let part = part.of_proportions(ImageSize::new(height, width), picture);
            let found = [part.left, part.top, part.right, part.bottom];
            assert_eq!(found, expected, "{region:?} of {picture:?}");
        }
    }

    #[test]
    fn a_part_of_other_proportions_is_put_back_where_it_was() {
        let grey = RgbImage::from_fn(100, 70, |x, y| Rgb([x as u8, y as u8, 9]));
        // it reaches both edges: no part of it is as high as 64:128 asks for
        let region = mask((100, 70), [33, 61, 89, 66]);
        let crop = Crop::new(&grey, &region, 4, ImageSize::new(128, 64));
        let [part, white] = crop.enlarged(64, 128);
        assert_eq!(
            (part.dimensions(), white.dimensions()),
            ((64, 128), (64, 128))
        );
        let back = crop.put_back(&part);
        let differs = |a: &Rgb<u8>, b: &Rgb<u8>| (0..3).any(|c| a.0[c].abs_diff(b.0[c]) > 1);
        for (x, y, pixel) in grey.enumerate_pixels() {
            assert!(
                !differs(pixel, back.get_pixel(x, y)),
                "{x}, {y}: {:?}",
                back.get_pixel(x, y)
            );
        }
    }

    #[test]
    fn what_is_wider_lies_within_or_covers() {
        let wide = RgbImage::from_fn(40, 10, |x, _| Rgb([6 * x as u8; 3]));
        assert_eq!(within(&wide, 16, 16).dimensions(), (16, 16));
        assert_eq!(
            within(&wide, 16, 16).get_pixel(3, 0),
            within(&wide, 16, 16).get_pixel(3, 15)
        );
        assert_eq!(covering(&wide, 16, 16).dimensions(), (16, 16));
        assert_eq!(covering(&wide, 7, 30).dimensions(), (7, 30));
    }
}
