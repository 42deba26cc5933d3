//! The first pass over a picture: where a phrase acts in it.

use burn::tensor::Tensor;
use image::RgbImage;

use crate::{
    mask::{ConceptMask, MaskNorm, ResizeFilter},
    models::image::MaskImage,
    pipeline::{
        ConceptPlace, ConceptRequest, Family, Frame, ImageSize, InputKind, Mode, PipelineError,
        Region, Request, Silent,
        conditioning::{condition, frame},
        denoise::evaluate,
        finite,
        locate::locate,
        memory,
        plan::mask_source,
        start::Canvas,
    },
    processors::ConceptrolLayer,
    seam::{AttentionPlan, Grid},
};

/// Levels of noise at which the picture is looked at, evenly over the schedule.
const LEVELS: usize = 10;

/// The region of a request that is to be found, if it is.
pub(in crate::pipeline) fn find<F: Family + ?Sized>(
    family: &F,
    request: &Request<F::Extra>,
) -> Result<Option<MaskImage>, PipelineError> {
    let Some((picture, place)) = wanted(request) else {
        return Ok(None);
    };
    let map = look(family, request, picture, place)?;
    let grow = place.grow.unwrap_or(family.profile().downscale);
    Ok(Some(region(&map, place.threshold, grow)))
}

/// That the region of a request can be found, if it is to be: before anything is computed.
pub(in crate::pipeline) fn check_place<F: Family + ?Sized>(
    family: &F,
    request: &Request<F::Extra>,
) -> Result<(), PipelineError> {
    match wanted(request) {
        None => Ok(()),
        Some((picture, place)) => prepare(family, request, picture, place).map(drop),
    }
}

/// The picture in which a place is to be found.
fn wanted<X>(request: &Request<X>) -> Option<(&RgbImage, &ConceptPlace)> {
    let start = request.start.as_ref()?;
    match &start.repaint.as_ref()?.region {
        Region::Concept(place) => Some((&start.image, place)),
        Region::Drawn(_) => None,
    }
}

/// The map of a phrase over a picture: the mean of what the concept block says at several levels of noise, its peak 1.
pub(in crate::pipeline) fn look<F: Family + ?Sized>(
    family: &F,
    request: &Request<F::Extra>,
    picture: &RgbImage,
    place: &ConceptPlace,
) -> Result<MaskImage, PipelineError> {
    let (look, frame, plan) = prepare(family, request, picture, place)?;
    let profile = family.profile();
    let pixels = Canvas::new(picture, None, None, frame.size).pixels(&profile.device);
    let clean = family.encode_picture(pixels, None, request.vae_tile)?;
    let mut conditioning = condition(family, &look, frame)?;
    if profile.input == InputKind::Region {
        // nothing is to be repainted: it sees all of the picture
        let Grid { height, width } = grid(conditioning.size);
        let nothing = Tensor::zeros([1, height * width], &profile.device);
        let nothing = ConceptMask::new(nothing, Grid::new(height, width))?;
        conditioning.beside = Some(family.around(&nothing, clean.clone())?);
    }
    let mut sum: Option<ConceptMask> = None;
    evaluate(
        family,
        &plan,
        &look,
        &conditioning,
        &clean,
        &mut Silent,
        |session| {
            let mask = session.board().latest(0).cloned();
            let mask = mask.map(|mask| mask.normalized(MaskNorm::Max));
            sum = match (sum.take(), mask) {
                (Some(sum), Some(mask)) => {
                    let mask = mask.resized(sum.grid(), ResizeFilter::Bilinear);
                    Some(sum.map(|values| values + mask.values().clone()))
                }
                (sum, mask) => sum.or(mask),
            };
        },
    )?;
    let sum = sum.ok_or_else(|| PipelineError::Unsupported {
        family: "this mask source",
        what: "mask of the whole picture to find a region by".into(),
    })?;
    let size = Grid::new(picture.height() as usize, picture.width() as usize);
    let values = sum.resized(size, ResizeFilter::Bilinear).values().clone();
    let mut values: Vec<f32> = finite::read(values)?.iter::<f32>().collect();
    let peak = values.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    values
        .iter_mut()
        .for_each(|value| *value = (*value / peak).clamp(0.0, 1.0));
    Ok(MaskImage {
        grid: size,
        values,
        warning: None,
    })
}

/// A request, outline and plan that only look.
fn prepare<F: Family + ?Sized>(
    family: &F,
    request: &Request<F::Extra>,
    picture: &RgbImage,
    place: &ConceptPlace,
) -> Result<(Request<F::Extra>, Frame, AttentionPlan), PipelineError> {
    let profile = family.profile();
    let prompt = place.prompt.as_ref().or(request.prompts.first());
    let mut look = Request::new(prompt.cloned().unwrap_or_default())
        .concept(ConceptRequest::words_only(&place.phrase))
        .mode(Mode::TextOnly)
        .steps(LEVELS)
        .seed(request.seed)
        .size(size(picture, profile.defaults.size, profile.multiple))
        .cancel(request.cancel.clone());
    if profile.mixes_guidance {
        look = look.guidance_scale(1.0);
    }
    look.scheduler.clone_from(&request.scheduler);
    look.mask_source.clone_from(&request.mask_source);
    let frame = frame(family, &look)?;
    locate(family, &look, &frame.prompts)?;
    memory::check(family, &look, &frame)?;
    let watch = ConceptrolLayer::watching(mask_source(family, &look)?);
    let plan = AttentionPlan::builder(&profile.sites);
    let plan = plan.layer(profile.conditioned.clone(), watch).build()?;
    Ok((look, frame, plan))
}

/// The picture's own size, or less with as many pixels as the model's own: attention is sharpest there.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "edges of pictures"
)]
fn size(picture: &RgbImage, own: ImageSize, multiple: usize) -> ImageSize {
    let (width, height) = picture.dimensions();
    let pixels = f64::from(width) * f64::from(height);
    let scale = (own.pixels() as f64 / pixels).sqrt().min(1.0);
    let down = |edge: u32| {
        let edge = (f64::from(edge) * scale) as usize;
        (edge / multiple * multiple).max(multiple)
    };
    ImageSize::new(down(height), down(width))
}

fn grid(size: ImageSize) -> Grid {
    Grid::new(size.height, size.width)
}

/// What is at least `threshold`, and `grow` pixels around it.
fn region(map: &MaskImage, threshold: f32, grow: usize) -> MaskImage {
    let Grid { height, width } = map.grid;
    let marked: Vec<bool> = map.values.iter().map(|value| *value >= threshold).collect();
    let along = |marked: &[bool], at: usize, step: usize, length: usize, place: usize| {
        let first = place.saturating_sub(grow);
        let last = (place + grow).min(length - 1);
        (first..=last).any(|other| marked[at + other * step])
    };
    let pixels = || (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let rows: Vec<bool> = pixels()
        .map(|(x, y)| along(&marked, y * width, 1, width, x))
        .collect();
    let grown = pixels().map(|(x, y)| along(&rows, x, width, height, y));
    MaskImage {
        grid: map.grid,
        values: grown.map(|marked| f32::from(u8::from(marked))).collect(),
        warning: None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Grid, ImageSize, MaskImage, RgbImage, region, size};

    #[test]
    fn what_is_strong_is_grown_on_all_sides() {
        let mut values = vec![0.2; 7 * 5];
        values[2 * 7 + 3] = 1.0;
        values[2 * 7 + 4] = 0.5;
        let map = MaskImage {
            grid: Grid::new(5, 7),
            values,
            warning: None,
        };
        let marked = |threshold, grow| {
            let region = region(&map, threshold, grow);
            let at = (0..35).filter(|at| region.values[*at] == 1.0);
            at.map(|at| (at % 7, at / 7)).collect::<Vec<_>>()
        };
        assert_eq!(marked(0.5, 0), [(3, 2), (4, 2)]);
        assert_eq!(marked(0.6, 0), [(3, 2)]);
        let around: Vec<_> = (1..4).flat_map(|y| (2..5).map(move |x| (x, y))).collect();
        assert_eq!(marked(0.6, 1), around);
        assert_eq!(marked(0.6, 9).len(), 35);
    }

    #[test]
    fn a_large_picture_is_looked_at_in_the_size_of_the_model() {
        let looked = |width, height| size(&RgbImage::new(width, height), ImageSize::square(64), 8);
        assert_eq!(looked(40, 24), ImageSize::new(24, 40));
        assert_eq!(looked(256, 64), ImageSize::new(32, 128));
        assert_eq!(looked(4000, 3), ImageSize::new(8, 2336));
    }
}
