//! Reference pictures as condition tokens beside the latents: OminiControl's, and Kontext's.

use burn::tensor::Tensor;
use conceptrol_core::{Grid, pipeline::ImageSize};

use crate::kontext::{reference_size, whole_tokens};
use crate::latents::{Position, SizeError, grid_positions, token_grid};

/// Where the condition tokens lie relative to the latents; part of what a checkpoint was trained with.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum Placement {
    /// Right of the picture: columns shifted by the picture's own width in tokens, `(0, +32)` for 512 pixels.
    ///
    /// OminiControl's `subject_512`. Several conditions follow each other.
    #[default]
    RightOfPicture,
    /// Left of the picture: columns shifted by minus the condition's own width, `(0, -32)` for 512 pixels.
    ///
    /// `subject_1024_beta` and later subject checkpoints. Several conditions follow each other.
    LeftOfPicture,
    /// On top of the picture, as the spatial checkpoints (depth, canny, ...) expect.
    Aligned,
    /// Shifted by this many token rows and columns: OminiControl's `position_delta`.
    Shifted {
        /// Rows down.
        rows: f64,
        /// Columns to the right.
        columns: f64,
    },
    /// On a plane of their own, index 1, several beside or below each other as in one stitched picture: Kontext.
    ///
    /// Each lies right of what is there already if it is then higher than wide, else below.
    Canvas,
    /// Each on a plane of its own, index 1, 2, ..., from the origin.
    Planes,
    /// On the picture's plane, beyond its lower right corner, each beyond the one before: UNO, `DreamO`.
    Diagonal,
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
    /// let positions = Placement::Canvas.positions(picture, &[reference, reference]);
    /// assert_eq!(positions[1][0], [1.0, 0.0, 24.0]);
    /// ```
    pub fn positions(self, picture: Grid, conditions: &[Grid]) -> Vec<Vec<Position>> {
        self.scaled_positions(picture, conditions, 1.0)
    }

    /// The same where a token of a condition covers `scale` tokens of the picture along a side: OminiControl2's compact
    /// tokens. A cell lies in the middle of what it covers, `scale * cell + (scale - 1) / 2`.
    ///
    /// ```
    /// use conceptrol_core::Grid;
    /// use conceptrol_flux::omini::Placement;
    ///
    /// let positions = Placement::Aligned.scaled_positions(Grid::new(32, 32), &[Grid::new(16, 16)], 2.0);
    /// assert_eq!(positions[0][17], [0.0, 2.5, 2.5]);
    /// ```
    pub fn scaled_positions(
        self,
        picture: Grid,
        conditions: &[Grid],
        scale: f64,
    ) -> Vec<Vec<Position>> {
        let middle = (scale - 1.0) / 2.0;
        let origins = self.origins(picture, conditions, scale);
        let placed = conditions.iter().zip(origins);
        let place = |(grid, [index, top, left]): (&Grid, Position)| {
            let cells = grid_positions(*grid).into_iter();
            let place = |[_, row, column]: Position| {
                [
                    index,
                    row * scale + middle + top,
                    column * scale + middle + left,
                ]
            };
            cells.map(place).collect()
        };
        placed.map(place).collect()
    }

    /// Where each condition begins: index, row, column.
    fn origins(self, picture: Grid, conditions: &[Grid], scale: f64) -> Vec<Position> {
        // rows and columns that those before take
        let (mut rows, mut columns) = (0.0_f64, 0.0_f64);
        let mut place = |(number, grid): (usize, &Grid)| {
            let height = grid.height as f64 * scale;
            let width = grid.width as f64 * scale;
            let before = [rows, columns];
            (rows, columns) = (rows + height, columns + width);
            let [below, right] = before;
            match self {
                Self::RightOfPicture => [0.0, 0.0, picture.width as f64 + right],
                Self::LeftOfPicture => [0.0, 0.0, -(width + right)],
                Self::Aligned => [0.0; 3],
                Self::Shifted { rows, columns } => [0.0, rows * scale, columns * scale],
                Self::Planes => [(number + 1) as f64, 0.0, 0.0],
                Self::Diagonal => [
                    0.0,
                    picture.height as f64 + below,
                    picture.width as f64 + right,
                ],
                Self::Canvas => {
                    let [top, left] = match height + below > width + right {
                        true => [0.0, right],
                        false => [below, 0.0],
                    };
                    rows = below.max(top + height);
                    columns = right.max(left + width);
                    [1.0, top, left]
                }
            }
        };
        conditions.iter().enumerate().map(&mut place).collect()
    }
}

/// The size to which a reference picture is brought before it is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConditionSize {
    /// About this many pixels, aspect kept; both sides become multiples of a token's.
    Area(usize),
    /// Exactly this many pixels, whatever the aspect.
    Exact {
        /// Height in pixels.
        height: usize,
        /// Width in pixels.
        width: usize,
    },
    /// The [size of those Kontext was trained with](crate::kontext::reference_size) whose aspect is nearest.
    Preferred,
    /// Its own, both sides rounded down to whole tokens.
    Own,
}

impl Default for ConditionSize {
    /// The area the published subject checkpoint was trained with, 512 x 512.
    fn default() -> Self {
        Self::Area(512 * 512)
    }
}

impl ConditionSize {
    /// The token grid of a reference picture, of which a token covers `multiple` x `multiple` pixels.
    ///
    /// # Errors
    /// [`SizeError`] if the picture is empty or the size asked for cannot be encoded.
    ///
    /// ```
    /// use conceptrol_core::pipeline::ImageSize;
    /// use conceptrol_flux::{latents::PIXELS_PER_TOKEN, omini::ConditionSize};
    ///
    /// let grid = ConditionSize::default().grid(ImageSize::new(600, 800), PIXELS_PER_TOKEN)?;
    /// assert_eq!((grid.height, grid.width), (28, 37)); // 448 x 592 pixels
    /// # Ok::<(), conceptrol_flux::latents::SizeError>(())
    /// ```
    pub fn grid(self, picture: ImageSize, multiple: usize) -> Result<Grid, SizeError> {
        let of = |size: ImageSize| token_grid(size, multiple);
        let ImageSize { height, width } = picture;
        match self {
            Self::Exact { height, width } => of(ImageSize::new(height, width)),
            _ if height == 0 || width == 0 => of(picture),
            Self::Area(area) => {
                let scale = (area as f64 / (height as f64 * width as f64)).sqrt();
                let tokens = |pixels: usize| (pixels as f64 * scale / multiple as f64).round();
                let side = |pixels: usize| (tokens(pixels) as usize).max(1) * multiple;
                of(ImageSize::new(side(height), side(width)))
            }
            Self::Preferred => of(reference_size(picture, multiple)),
            Self::Own if height.min(width) < multiple => of(picture),
            Self::Own => of(whole_tokens(picture, multiple)),
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
    use crate::latents::PIXELS_PER_TOKEN;
    use conceptrol_core::{Grid, pipeline::ImageSize};

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

    /// The rule of `ComfyUI`, `comfy/ldm/flux/model.py`, in whole tokens.
    #[test]
    fn several_references_lie_as_in_one_stitched_picture() {
        let picture = Grid::new(4, 5);
        let references = [
            Grid::new(2, 3),
            Grid::new(4, 2),
            Grid::new(1, 6),
            Grid::new(3, 3),
        ];
        let first = |placement: Placement| -> Vec<_> {
            let positions = placement.positions(picture, &references);
            positions.iter().map(|cells| cells[0]).collect()
        };
        let (mut h, mut w) = (0, 0);
        let stitched: Vec<_> = (references.iter())
            .map(|reference| {
                let (mut top, mut left) = (0, 0);
                if reference.height + h > reference.width + w {
                    left = w;
                } else {
                    top = h;
                }
                h = h.max(reference.height + top);
                w = w.max(reference.width + left);
                [1.0, f64::from(top as u32), f64::from(left as u32)]
            })
            .collect();
        assert_eq!(first(Placement::Canvas), stitched);
        assert_eq!(
            stitched[1],
            [1.0, 0.0, 3.0],
            "4 + 2 rows are more than 2 + 3 columns"
        );
        let planes = [1.0, 2.0, 3.0, 4.0].map(|index| [index, 0.0, 0.0]);
        assert_eq!(first(Placement::Planes), planes);
        let diagonal = [[4.0, 5.0], [6.0, 8.0], [10.0, 10.0], [11.0, 16.0]];
        let diagonal = diagonal.map(|[row, column]| [0.0, row, column]);
        assert_eq!(first(Placement::Diagonal), diagonal);
    }

    /// `position_delta`, then `position_scale`, as OminiControl2 has them.
    #[test]
    fn compact_tokens_lie_in_the_middle_of_what_they_cover() {
        let (rows, columns, scale) = (1.0, -16.0, 2.0);
        let grid = Grid::new(2, 16);
        let shifted = Placement::Shifted { rows, columns };
        let positions = shifted.scaled_positions(Grid::new(32, 32), &[grid], scale);
        for (cell, position) in positions[0].iter().enumerate() {
            let omini =
                |cell: usize, delta: f64| (cell as f64 + delta) * scale + (scale - 1.0) / 2.0;
            let expected = [0.0, omini(cell / 16, rows), omini(cell % 16, columns)];
            assert_eq!(*position, expected);
        }
        let left = Placement::LeftOfPicture.scaled_positions(Grid::new(32, 32), &[grid], scale);
        assert_eq!(left[0][0], [0.0, 0.5, -31.5]);
    }

    #[test]
    fn extreme_aspects_keep_a_token_a_side() {
        let grid = |size: ConditionSize, height, width| {
            size.grid(ImageSize::new(height, width), PIXELS_PER_TOKEN)
        };
        let long = grid(ConditionSize::Area(256), 1, 16).expect("a valid size");
        assert_eq!(long, Grid::new(1, 4));
        assert!(
            grid(ConditionSize::default(), 1, 1_000_000).is_err(),
            "beyond the side limit"
        );
        assert!(grid(ConditionSize::default(), 0, 5).is_err());
    }
}
