//! OminiControl: reference pictures as condition tokens beside the latents.

use burn::tensor::Tensor;
use conceptrol_core::Grid;

use crate::latents::{Position, SizeError, grid_positions, token_grid};

/// Where the condition tokens lie relative to the latents; part of what a checkpoint was trained with.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum Placement {
    /// Right of the picture: columns shifted by the picture's own width in tokens, `(0, +32)` for 512 pixels.
    ///
    /// `subject_512`. Several conditions follow each other.
    #[default]
    RightOfPicture,
    /// Left of the picture: columns shifted by minus the condition's own width, `(0, -32)` for 512 pixels.
    ///
    /// `subject_1024_beta` and later subject checkpoints. Several conditions follow each other.
    LeftOfPicture,
    /// On top of the picture, as the spatial checkpoints (depth, canny, ...) expect.
    Aligned,
    /// Shifted by this many token rows and columns.
    Shifted {
        /// Rows down.
        rows: f64,
        /// Columns to the right.
        columns: f64,
    },
}

impl Placement {
    /// Positions of the tokens of each condition, for a picture of `picture` tokens.
    ///
    /// ```
    /// use conceptrol_core::Grid;
    /// use conceptrol_flux::omini::Placement;
    ///
    /// let (picture, reference) = (Grid::new(32, 32), Grid::new(32, 24));
    /// let positions = Placement::RightOfPicture.positions(picture, &[reference]);
    /// assert_eq!(positions[0][0], [0.0, 0.0, 32.0]);
    /// ```
    pub fn positions(self, picture: Grid, conditions: &[Grid]) -> Vec<Vec<Position>> {
        let mut taken = 0.0;
        let mut place = |grid: &Grid| {
            let width = grid.width as f64;
            let [rows, columns] = match self {
                Self::RightOfPicture => [0.0, picture.width as f64 + taken],
                Self::LeftOfPicture => [0.0, -(width + taken)],
                Self::Aligned => [0.0, 0.0],
                Self::Shifted { rows, columns } => [rows, columns],
            };
            taken += width;
            let shift = |[index, row, column]: Position| [index, row + rows, column + columns];
            grid_positions(*grid).into_iter().map(shift).collect()
        };
        conditions.iter().map(&mut place).collect()
    }
}

/// The size to which a reference picture is brought before it is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConditionSize {
    /// About this many pixels, aspect kept; both sides become multiples of 16.
    Area(usize),
    /// Exactly this many pixels, whatever the aspect.
    Exact {
        /// Height in pixels.
        height: usize,
        /// Width in pixels.
        width: usize,
    },
}

impl Default for ConditionSize {
    /// The area the published subject checkpoint was trained with, 512 x 512.
    fn default() -> Self {
        Self::Area(512 * 512)
    }
}

impl ConditionSize {
    /// The token grid of a reference picture of `height` x `width` pixels.
    ///
    /// # Errors
    /// [`SizeError`] if the picture is empty or the size asked for cannot be encoded.
    ///
    /// ```
    /// use conceptrol_flux::omini::ConditionSize;
    ///
    /// let grid = ConditionSize::default().grid(600, 800)?;
    /// assert_eq!((grid.height, grid.width), (28, 37)); // 448 x 592 pixels
    /// # Ok::<(), conceptrol_flux::latents::SizeError>(())
    /// ```
    pub fn grid(self, height: usize, width: usize) -> Result<Grid, SizeError> {
        match self {
            Self::Exact { height, width } => token_grid(height, width),
            Self::Area(_) if height == 0 || width == 0 => token_grid(height, width),
            Self::Area(area) => {
                let scale = (area as f64 / (height as f64 * width as f64)).sqrt();
                let side =
                    |pixels: usize| ((pixels as f64 * scale / 16.0).round() as usize).max(1) * 16;
                token_grid(side(height), side(width))
            }
        }
    }
}

/// A reference picture as the transformer takes it.
#[derive(Debug, Clone)]
pub struct Condition {
    /// Packed, scaled latents: `[1, grid cells, in_channels]`.
    pub tokens: Tensor<3>,
    /// The grid they lie on.
    pub grid: Grid,
}

#[cfg(test)]
mod tests {
    use super::{ConditionSize, Placement};
    use conceptrol_core::Grid;

    #[test]
    fn conditions_do_not_overlap() {
        let picture = Grid::new(4, 4);
        let conditions = [Grid::new(2, 3), Grid::new(5, 2)];
        for (placement, first, second) in [
            (Placement::RightOfPicture, 4.0, 7.0),
            (Placement::LeftOfPicture, -3.0, -5.0),
        ] {
            let positions = placement.positions(picture, &conditions);
            assert_eq!([positions[0].len(), positions[1].len()], [6, 10]);
            assert_eq!(
                [positions[0][0][2], positions[1][0][2]],
                [first, second],
                "{placement:?}"
            );
        }
    }

    #[test]
    fn extreme_aspects_keep_a_token_a_side() {
        let grid = ConditionSize::Area(256).grid(1, 16).expect("a valid size");
        assert_eq!(grid, Grid::new(1, 4));
        assert!(
            ConditionSize::default().grid(1, 1_000_000).is_err(),
            "beyond the side limit"
        );
        assert!(ConditionSize::default().grid(0, 5).is_err());
    }
}
