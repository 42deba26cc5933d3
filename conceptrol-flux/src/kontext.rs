//! FLUX.1 Kontext: the sizes it was trained with.
//!
//! Kontext reads reference pictures as more latents: their tokens follow those of the picture, have its noise level and
//! positions on a plane of their own. See [`Reading::LikeLatents`](crate::mmdit::Reading::LikeLatents) and
//! [`Placement::Canvas`](crate::omini::Placement::Canvas).

use conceptrol_core::pipeline::ImageSize;

/// Pixels of a picture that Kontext makes.
pub const MAX_AREA: usize = 1024 * 1024;

/// The narrow half of the sizes it was trained with, (shorter, longer) side; the others are these turned, and the square.
const UPRIGHT: [(usize, usize); 8] = [
    (672, 1568),
    (688, 1504),
    (720, 1456),
    (752, 1392),
    (800, 1328),
    (832, 1248),
    (880, 1184),
    (944, 1104),
];

/// The sizes of reference pictures that Kontext was trained with, from narrow to wide.
pub fn preferred_sizes() -> impl Iterator<Item = ImageSize> {
    let upright = UPRIGHT.into_iter();
    let flat = upright.clone().rev();
    upright
        .map(|(short, long)| ImageSize::new(long, short))
        .chain([ImageSize::square(1024)])
        .chain(flat.map(|(short, long)| ImageSize::new(short, long)))
}

/// The size to which a reference picture is brought: the preferred one whose aspect is nearest to its own. Of two that are
/// as near, the narrower. Its sides are rounded down to multiples of `multiple`, the pixels along a side of a token.
///
/// ```
/// use conceptrol_core::pipeline::ImageSize;
/// use conceptrol_flux::{kontext::reference_size, latents::PIXELS_PER_TOKEN};
///
/// let size = reference_size(ImageSize::new(1080, 1920), PIXELS_PER_TOKEN);
/// assert_eq!(size, ImageSize::new(752, 1392));
/// ```
pub fn reference_size(picture: ImageSize, multiple: usize) -> ImageSize {
    // the aspect that diffusers compares is that of whole tokens
    let ImageSize { height, width } = whole_tokens(picture, multiple);
    let own = ImageSize::new(height.max(multiple), width.max(multiple));
    let distance = |size: &ImageSize| (aspect(own) - aspect(*size)).abs();
    let nearest =
        preferred_sizes().reduce(|nearest, size| match distance(&size) < distance(&nearest) {
            true => size,
            false => nearest,
        });
    nearest.map_or(own, |size| whole_tokens(size, multiple))
}

/// The size of about `max_area` pixels that has the aspect of `size`, both sides multiples of `multiple`. FLUX.1 Kontext makes
/// pictures of [`MAX_AREA`].
///
/// ```
/// use conceptrol_core::pipeline::ImageSize;
/// use conceptrol_flux::{kontext::{MAX_AREA, output_size}, latents::PIXELS_PER_TOKEN};
///
/// let size = output_size(ImageSize::new(720, 1280), MAX_AREA, PIXELS_PER_TOKEN);
/// assert_eq!(size, ImageSize::new(768, 1360));
/// ```
pub fn output_size(size: ImageSize, max_area: usize, multiple: usize) -> ImageSize {
    let (area, aspect) = (max_area as f64, aspect(size));
    // rounded as Python does
    let side = |square: f64| square.sqrt().round_ties_even() as usize;
    whole_tokens(
        ImageSize::new(side(area / aspect), side(area * aspect)),
        multiple,
    )
}

/// Both sides rounded down to whole tokens.
pub(crate) fn whole_tokens(size: ImageSize, multiple: usize) -> ImageSize {
    let down = |side: usize| side - side % multiple;
    ImageSize::new(down(size.height), down(size.width))
}

fn aspect(size: ImageSize) -> f64 {
    size.width as f64 / size.height as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latents::PIXELS_PER_TOKEN;

    fn reference(size: ImageSize) -> ImageSize {
        reference_size(size, PIXELS_PER_TOKEN)
    }

    #[test]
    fn the_list_has_17_sizes_of_about_a_megapixel() {
        let sizes: Vec<_> = preferred_sizes().collect();
        assert_eq!(sizes.len(), 17);
        assert!(sizes.is_sorted_by(|a, b| aspect(*a) < aspect(*b)));
        for size in sizes {
            assert_eq!(whole_tokens(size, PIXELS_PER_TOKEN), size);
            let area = size.pixels() as f64 / MAX_AREA as f64;
            assert!((0.97..1.03).contains(&area), "{size}");
            assert_eq!(reference(size), size);
        }
    }

    #[test]
    fn tiny_and_long_pictures_have_a_size() {
        assert_eq!(reference(ImageSize::square(1)), ImageSize::square(1024));
        let long = ImageSize::new(1, 9000);
        assert_eq!(reference(long), ImageSize::new(672, 1568));
        assert_eq!(reference_size(long, 64), ImageSize::new(640, 1536));
    }
}
