//! Where the things that a prompt names are in a picture.

use conceptrol_core::models::image::RgbImage;
use ndarray::Array2;

use super::Segmenter;

/// Pixels of the segmenter from which on a thing counts as there: 24 of 4096 (`assets/tiny-sd/MODEL_CARD.md`).
const SEEN: usize = 24;

/// Who tells where things are.
#[derive(Debug)]
pub(crate) enum Oracle {
    /// A segmenter that knows the words as classes.
    Segmenter(Box<Segmenter>),
    /// Nobody: the model's own maps of the text-only picture with the same seed.
    OwnMaps,
}

impl Oracle {
    /// The segmenter, if there is one.
    pub(crate) fn segmenter(&self) -> Option<&Segmenter> {
        match self {
            Self::Segmenter(segmenter) => Some(segmenter),
            Self::OwnMaps => None,
        }
    }
}

/// The regions of a picture: each `None` where the thing is not there.
#[derive(Debug, Clone)]
pub(crate) struct Regions {
    pub(crate) concept: Option<Array2<bool>>,
    pub(crate) others: Vec<Option<Array2<bool>>>,
}

impl Segmenter {
    /// The regions of a class and of others.
    pub(crate) fn regions(&self, picture: &RgbImage, class: &str, others: &[String]) -> Regions {
        let labels = self.labels(picture);
        let of = |class: &str| {
            let class = self.class(class)?;
            let region = labels.mapv(|label| label == class);
            let pixels = region.iter().filter(|&&inside| inside).count();
            (pixels >= SEEN).then_some(region)
        };
        Regions {
            concept: of(class),
            others: others.iter().map(|other| of(other)).collect(),
        }
    }
}
