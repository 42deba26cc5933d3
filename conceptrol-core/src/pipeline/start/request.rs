//! A picture to start from, and what of it is to be repainted.

use image::RgbImage;

use crate::{
    models::image::MaskImage,
    pipeline::{ConceptPlace, ImageSize, PipelineError},
    seam::Grid,
};

/// Strength of a picture that may change everywhere.
const EVERYWHERE: f64 = 0.8;
/// Strength where a region is repainted.
const REPAINTED: f64 = 1.0;

/// A picture to start from instead of noise (diffusers' `image` and `strength`).
///
/// Of the `n` steps of a schedule the last `n x strength` are run, from the picture under the noise of the first of them.
/// Windows, warm-ups and Conceptrol's schedule go on counting the steps of the whole schedule: what acts from a fifth of the
/// steps on acts from the same level of noise on, whatever the strength.
///
/// ```
/// use conceptrol_core::{image::RgbImage, pipeline::{Request, Start}};
///
/// let photo = RgbImage::new(96, 64);
/// let request = Request::<()>::new("a cat, oil painting").start(Start::new(photo).strength(0.6));
/// assert_eq!(request.start.as_ref().map(Start::resolved_strength), Some(0.6));
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Start {
    /// The picture. It is resized to the size of the request; without one, its own size counts, rounded down to what the
    /// model can make.
    pub image: RgbImage,
    /// How far the result may leave it, in 0..=1; 0.8 if `None`, 1 where a region is repainted. At 0 the result is the picture
    /// as the autoencoder gives it back.
    pub strength: Option<f64>,
    /// What is repainted; all of it if `None`.
    pub repaint: Option<Repaint>,
}

impl Start {
    /// Starts from this picture, which may change everywhere.
    pub fn new(image: RgbImage) -> Self {
        Self {
            image,
            strength: None,
            repaint: None,
        }
    }

    /// Sets how far the result may leave the picture.
    pub fn strength(mut self, strength: f64) -> Self {
        self.strength = Some(strength);
        self
    }

    /// Sets what is repainted: a [`Repaint`], or a mask alone.
    pub fn repaint(mut self, repaint: impl Into<Repaint>) -> Self {
        self.repaint = Some(repaint.into());
        self
    }

    /// The strength, with its default.
    pub fn resolved_strength(&self) -> f64 {
        self.strength.unwrap_or(match self.repaint {
            None => EVERYWHERE,
            Some(_) => REPAINTED,
        })
    }

    /// Whether no step is run: the picture is only encoded and decoded.
    pub(crate) fn is_untouched(&self) -> bool {
        self.resolved_strength() == 0.0
    }

    /// The size of the result where the request names none: that of the picture, each side rounded down to a multiple. `None`
    /// where the model's own size is better, for a part that is cut out.
    pub fn size(&self, multiple: usize) -> Option<ImageSize> {
        // what is cut out is enlarged to what the model does best
        if self
            .repaint
            .as_ref()
            .is_some_and(|repaint| repaint.padding.is_some())
        {
            return None;
        }
        let down = |edge: u32| edge as usize / multiple * multiple;
        Some(ImageSize::new(
            down(self.image.height()),
            down(self.image.width()),
        ))
    }

    /// Checks everything that needs no model.
    pub(crate) fn check(&self) -> Result<(), PipelineError> {
        let (width, height) = self.image.dimensions();
        if width == 0 || height == 0 {
            let (name, value) = ("the picture to start from", format!("{width}x{height}"));
            return Err(PipelineError::bad_request(name, value, "not empty"));
        }
        let strength = self.resolved_strength();
        if !(0.0..=1.0).contains(&strength) {
            let name = "the strength";
            return Err(PipelineError::bad_request(
                name,
                strength,
                "between 0 and 1",
            ));
        }
        let Some(repaint) = &self.repaint else {
            return Ok(());
        };
        match &repaint.region {
            Region::Drawn(mask) => check_mask(mask, Grid::new(height as usize, width as usize))?,
            Region::Concept(place) => place.check()?,
        }
        let nothing = |mask: &MaskImage| mask.values.iter().all(|value| *value == 0.0);
        match (&repaint.region, repaint.padding) {
            (Region::Drawn(mask), Some(_)) if nothing(mask) => {
                let name = "the region to cut out";
                Err(PipelineError::bad_request(
                    name,
                    "empty",
                    "marked in the mask",
                ))
            }
            _ => Ok(()),
        }
    }
}

/// What of a picture is repainted, and how.
///
/// ```
/// use conceptrol_core::{image::RgbImage, pipeline::{ConceptPlace, Repaint, Start}};
///
/// // "replace the dog by this dog": where the dog is, the model says itself
/// let start = Start::new(RgbImage::new(64, 64)).repaint(ConceptPlace::of("dog").grow(4));
/// assert_eq!(start.resolved_strength(), 1.0);
/// // a small face in a large picture: cut out with 32 pixels around it, repainted at the model's size, put back
/// let face = Repaint::from(ConceptPlace::of("face")).padding(32);
/// assert_eq!(face.padding, Some(32));
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Repaint {
    /// Where.
    pub region: Region,
    /// Pixels around the region that are cut out of the picture with it, enlarged to the size of the request, repainted, and
    /// put back (diffusers' `padding_mask_crop`); the whole picture at once if `None`.
    pub padding: Option<u32>,
}

/// Where a picture is repainted.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Region {
    /// Where a mask of the picture's size is 0.5 and above: white is repainted.
    Drawn(MaskImage),
    /// Where the words of a concept act in the picture.
    Concept(ConceptPlace),
}

impl Repaint {
    /// Sets the pixels around the region that are cut out with it.
    pub fn padding(mut self, pixels: u32) -> Self {
        self.padding = Some(pixels);
        self
    }
}

impl<R: Into<Region>> From<R> for Repaint {
    fn from(region: R) -> Self {
        Self {
            region: region.into(),
            padding: None,
        }
    }
}

impl From<MaskImage> for Region {
    fn from(mask: MaskImage) -> Self {
        Self::Drawn(mask)
    }
}

impl From<ConceptPlace> for Region {
    fn from(place: ConceptPlace) -> Self {
        Self::Concept(place)
    }
}

/// That a mask has a value for each pixel of the picture, each in 0..=1.
fn check_mask(mask: &MaskImage, picture: Grid) -> Result<(), PipelineError> {
    let shown = |grid: Grid| format!("width {}, height {}", grid.width, grid.height);
    if mask.grid != picture {
        let expected = format!("the picture's: {}", shown(picture));
        let (name, found) = ("the size of the mask", shown(mask.grid));
        return Err(PipelineError::bad_request(name, found, expected));
    }
    if mask.values.len() != picture.cells() {
        let (name, found) = ("the number of values of the mask", mask.values.len());
        return Err(PipelineError::bad_request(
            name,
            found,
            picture.cells().to_string(),
        ));
    }
    match mask
        .values
        .iter()
        .find(|value| !(0.0..=1.0).contains(*value))
    {
        None => Ok(()),
        Some(value) => {
            let name = "a value of the mask";
            Err(PipelineError::bad_request(name, value, "between 0 and 1"))
        }
    }
}
