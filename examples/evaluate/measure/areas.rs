//! Masks and maps brought together.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use conceptrol_core::{
    Grid,
    analysis::{AnalysisError, resize_bilinear, roc_auc},
    mask::{ConceptMask, ResizeFilter},
    models::image::{ImageError, RgbImage, open_mask},
};
use ndarray::{Array2, ArrayView2};

/// The longest side at which maps and regions are compared: regions of larger pictures are averaged down to it.
const EDGE: usize = 128;

/// A mask file that does not fit its picture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum MaskFileError {
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(
        "{}: the mask has {found:?} pixels, its picture {expected:?} (width, height)",
        path.display()
    )]
    Size {
        path: PathBuf,
        found: (usize, usize),
        expected: (usize, usize),
    },
    #[error("{}: the mask covers {inside} of {pixels} pixels: there must be some inside and some outside", path.display())]
    OneSided {
        path: PathBuf,
        inside: usize,
        pixels: usize,
    },
}

/// The region of the mask of a picture: where it is above one half. Large masks are averaged down.
pub(crate) fn load_mask(path: &Path, picture: &RgbImage) -> Result<Array2<bool>, MaskFileError> {
    let drawn = open_mask(path)?;
    let found = (drawn.grid.width, drawn.grid.height);
    let expected = (picture.width() as usize, picture.height() as usize);
    let path = path.to_owned();
    if found != expected {
        return Err(MaskFileError::Size {
            path,
            found,
            expected,
        });
    }
    let region = region_of(&drawn.to_concept_mask(&Device::flex()), 0, 0.5);
    let (inside, pixels) = (
        region.iter().filter(|&&inside| inside).count(),
        region.len(),
    );
    if inside == 0 || inside == pixels {
        return Err(MaskFileError::OneSided {
            path,
            inside,
            pixels,
        });
    }
    Ok(region)
}

/// Where a mask of picture `image` reaches `threshold`, at most [`EDGE`] cells a side.
pub(crate) fn region_of(mask: &ConceptMask, image: usize, threshold: f32) -> Array2<bool> {
    let grid = mask.grid();
    let fits = |length: usize| length.div_ceil(grid.height.max(grid.width).div_ceil(EDGE).max(1));
    let small = Grid::new(fits(grid.height), fits(grid.width));
    let values = host(&mask.resized(small, ResizeFilter::Area), image);
    values.mapv(|value| value > threshold)
}

/// The values of a mask of picture `image`, `[height, width]`.
fn host(mask: &ConceptMask, image: usize) -> Array2<f32> {
    let [rows, _] = mask.values().dims();
    let row = image.min(rows - 1);
    let values = mask.values().clone().slice_dim(0, row..row + 1).into_data();
    let (height, width) = (mask.grid().height, mask.grid().width);
    let values: Vec<f32> = values.iter::<f32>().collect();
    Array2::from_shape_vec((height, width), values).expect("one value a cell")
}

/// ROC-AUC of a map for a region, the map brought to the region's grid; `None` where it is undefined, because the region is
/// empty or everything.
pub(crate) fn auc(
    map: &ConceptMask,
    image: usize,
    region: ArrayView2<'_, bool>,
) -> Result<Option<f64>, AnalysisError> {
    let map = at(map, image, region);
    defined(roc_auc(map.view(), region))
}

/// The same among the cells of some regions only: does the map tell its own object from the others?
pub(crate) fn auc_within(
    map: &ConceptMask,
    image: usize,
    region: ArrayView2<'_, bool>,
    others: &[Array2<bool>],
) -> Result<Option<f64>, AnalysisError> {
    let map = at(map, image, region);
    let within = |index: (usize, usize)| {
        region[index] || others.iter().any(|other| other.get(index) == Some(&true))
    };
    let cells: Vec<(f32, bool)> = (region.indexed_iter())
        .filter(|(index, _)| within(*index))
        .map(|(index, inside)| (map[index], *inside))
        .collect();
    let values = Array2::from_shape_fn((1, cells.len()), |(_, cell)| cells[cell].0);
    let inside = Array2::from_shape_fn((1, cells.len()), |(_, cell)| cells[cell].1);
    defined(roc_auc(values.view(), inside.view()))
}

fn at(map: &ConceptMask, image: usize, region: ArrayView2<'_, bool>) -> Array2<f32> {
    let (height, width) = region.dim();
    resize_bilinear(host(map, image).view(), height, width)
}

fn defined(auc: Result<f64, AnalysisError>) -> Result<Option<f64>, AnalysisError> {
    match auc {
        Ok(auc) => Ok(Some(auc)),
        Err(AnalysisError::OneSided { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
