//! A mask over the latent tokens of a grid: normalising and resizing it.

use burn::tensor::{
    DType, Device, Int, Tensor, TensorData,
    module::{adaptive_avg_pool2d, interpolate},
    ops::{InterpolateMode, InterpolateOptions},
};

use crate::seam::{Grid, MaskError, SiteId};

/// Added to the maximum before dividing by it, as the authors' code does.
const MAX_EPSILON: f32 = 1e-6;

/// When and where a mask was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stamp {
    /// The site it was read at.
    pub site: SiteId,
    /// The step it was read in.
    pub step: usize,
}

impl Stamp {
    /// A mask read at `site` in `step`.
    pub const fn new(site: SiteId, step: usize) -> Self {
        Self { site, step }
    }
}

/// How a map becomes a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum MaskNorm {
    /// Left as it is.
    None,
    /// Divided by its spatial maximum + 1e-6: the peak is 1 (SD, SDXL).
    #[default]
    Max,
    /// Divided by its spatial mean: the mean is 1 (FLUX).
    Mean,
}

/// How a mask gets from one grid to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ResizeFilter {
    /// The cell at `floor(index * in / out)`, as the authors' code does.
    #[default]
    Nearest,
    /// Bilinear between cell centres (`align_corners = false`).
    Bilinear,
    /// The mean of the cells that a cell covers.
    Area,
}

/// How strongly a concept acts on each latent token of a grid.
#[derive(Debug, Clone)]
pub struct ConceptMask {
    values: Tensor<2>,
    grid: Grid,
    stamp: Option<Stamp>,
}

impl ConceptMask {
    /// A mask with one row a picture, `[images, cells]`, or one for all, `[1, cells]`; the cells
    /// of `grid` row by row. Kept in f32, whatever the type of `values`.
    ///
    /// # Errors
    ///
    /// [`MaskError::CellCount`] unless the second axis has as many entries as the grid cells.
    pub fn new(values: Tensor<2>, grid: Grid) -> Result<Self, MaskError> {
        let [_, found] = values.dims();
        if found != grid.cells() {
            return Err(MaskError::CellCount {
                grid,
                found,
                expected: grid.cells(),
            });
        }
        Ok(Self {
            values: values.cast(DType::F32),
            grid,
            stamp: None,
        })
    }

    /// The mask that lets a condition act everywhere.
    pub(crate) fn ones(grid: Grid, device: &Device) -> Self {
        Self {
            values: Tensor::ones([1, grid.cells()], (device, DType::F32)),
            grid,
            stamp: None,
        }
    }

    /// Marks when and where it was made.
    pub const fn with_stamp(mut self, stamp: Stamp) -> Self {
        self.stamp = Some(stamp);
        self
    }

    /// The values in f32, `[images | 1, cells]`.
    pub const fn values(&self) -> &Tensor<2> {
        &self.values
    }

    /// The grid.
    pub const fn grid(&self) -> Grid {
        self.grid
    }

    /// When and where it was made, if it was read from attention.
    pub const fn stamp(&self) -> Option<Stamp> {
        self.stamp
    }

    /// The same mask with other values.
    pub(crate) fn map(self, change: impl FnOnce(Tensor<2>) -> Tensor<2>) -> Self {
        Self {
            values: change(self.values),
            ..self
        }
    }

    /// The product with a mask on the same grid; made when and where the first of them with a stamp was.
    pub(crate) fn times(self, other: Self) -> Self {
        let stamp = self.stamp.or(other.stamp);
        Self {
            stamp,
            ..self.map(|values| values * other.values)
        }
    }

    /// The mask on another device.
    pub(crate) fn on(self, device: &Device) -> Self {
        self.map(|values| values.to_device(device))
    }

    /// Normalises every picture's mask on its own.
    pub fn normalized(self, norm: MaskNorm) -> Self {
        self.map(|values| match norm {
            MaskNorm::None => values,
            MaskNorm::Max => values.clone() / (values.max_dim(1) + MAX_EPSILON),
            MaskNorm::Mean => values.clone() / values.mean_dim(1),
        })
    }

    /// The mask on another grid.
    pub fn resized(&self, grid: Grid, filter: ResizeFilter) -> Self {
        if grid == self.grid {
            return self.clone();
        }
        let cells = i32::try_from(grid.cells()).expect("a latent grid has fewer than 2^31 cells");
        let values = match filter {
            ResizeFilter::Nearest => {
                let index = nearest_cells(self.grid, grid);
                let index = Tensor::<1, Int>::from_data(index, &self.values.device());
                self.values.clone().select(1, index)
            }
            ResizeFilter::Bilinear => {
                let options = InterpolateOptions::new(InterpolateMode::Bilinear)
                    .with_align_corners(false)
                    .with_output_size([grid.height, grid.width]);
                interpolate(self.picture(), options).reshape([-1, cells])
            }
            ResizeFilter::Area => {
                adaptive_avg_pool2d(self.picture(), [grid.height, grid.width]).reshape([-1, cells])
            }
        };
        Self {
            values,
            grid,
            stamp: self.stamp,
        }
    }

    fn picture(&self) -> Tensor<4> {
        let [images, _] = self.values.dims();
        self.values
            .clone()
            .reshape([images, 1, self.grid.height, self.grid.width])
    }
}

/// For each cell of `to` the cell of `from` that torch's `nearest` takes.
fn nearest_cells(from: Grid, to: Grid) -> TensorData {
    let index: Vec<i32> = (0..to.height)
        .flat_map(|row| (0..to.width).map(move |column| (row, column)))
        .map(|(row, column)| {
            let row = nearest(row, from.height, to.height);
            let column = nearest(column, from.width, to.width);
            i32::try_from(row * from.width + column)
                .expect("a latent grid has fewer than 2^31 cells")
        })
        .collect();
    TensorData::new(index, [to.cells()])
}

/// torch: `min(floor(index * (in / out)), in - 1)` with the scale in f32.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the rounding of torch's f32 arithmetic is what is wanted"
)]
fn nearest(index: usize, from: usize, to: usize) -> usize {
    let scale = from as f32 / to as f32;
    ((index as f32 * scale).floor() as usize).min(from - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(values: &[f32], grid: Grid) -> ConceptMask {
        let row = Tensor::<1>::from_floats(values, &Device::flex());
        ConceptMask::new(row.unsqueeze(), grid).expect("as many values as cells")
    }

    fn values(mask: &ConceptMask) -> Vec<f32> {
        mask.values().to_data().try_to_vec().expect("f32 mask")
    }

    #[test]
    fn nearest_follows_torch_on_non_integer_ratios() {
        let source = mask(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], Grid::new(2, 3));
        let resized = source.resized(Grid::new(3, 2), ResizeFilter::Nearest);
        // rows floor(i * 2 / 3) = 0, 0, 1; columns floor(j * 3 / 2) = 0, 1
        assert_eq!(values(&resized), [0.0, 1.0, 0.0, 1.0, 3.0, 4.0]);
    }

    #[test]
    fn resizing_to_the_same_grid_is_identity() {
        let source = mask(&[0.1, 0.2, 0.3, 0.4], Grid::new(2, 2));
        for filter in [
            ResizeFilter::Nearest,
            ResizeFilter::Bilinear,
            ResizeFilter::Area,
        ] {
            assert_eq!(
                values(&source.resized(Grid::new(2, 2), filter)),
                [0.1, 0.2, 0.3, 0.4]
            );
        }
    }

    #[test]
    fn norms_set_peak_or_mean_to_one() {
        let source = mask(&[0.1, 0.2, 0.3, 0.4], Grid::new(2, 2));
        let peak = values(&source.clone().normalized(MaskNorm::Max));
        assert!((peak[3] - 1.0).abs() < 1e-5, "peak {}", peak[3]);
        let mean: f32 = values(&source.normalized(MaskNorm::Mean))
            .iter()
            .sum::<f32>()
            / 4.0;
        assert!((mean - 1.0).abs() < 1e-6, "mean {mean}");
    }

    #[test]
    fn wrong_cell_count_is_an_error() {
        let values = Tensor::<2>::zeros([1, 5], &Device::flex());
        let error = ConceptMask::new(values, Grid::new(2, 2)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a mask on a 2x2 grid has 4 cells, 5 were given"
        );
    }
}
