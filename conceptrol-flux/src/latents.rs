//! Latents as the transformer sees them: 2 x 2 cells packed into a token, and where each token lies.

use burn::tensor::Tensor;
use conceptrol_core::{
    Grid,
    pipeline::{ImageSize, PipelineError},
};

/// Pixels along one side of a token of the published models: 8 of the autoencoder times 2 of the packing.
pub const PIXELS_PER_TOKEN: usize = 16;

/// Position of a token on the three rotary axes: image index, row, column.
///
/// Text tokens all sit at the origin.
pub type Position = [f64; 3];

/// A picture size the model cannot make or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "image size {width}x{height} must be a positive multiple of {multiple} on both sides, at most {limit} pixels a side"
)]
pub struct SizeError {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Pixels along one side of a token.
    pub multiple: usize,
    /// Largest accepted side in pixels.
    pub limit: usize,
}

impl From<SizeError> for PipelineError {
    fn from(error: SizeError) -> Self {
        Self::family(error)
    }
}

/// Largest side of a picture in pixels.
pub(crate) const SIDE_LIMIT: usize = 8192;

/// The token grid of a picture, of which a token covers `multiple` x `multiple` pixels.
///
/// # Errors
/// [`SizeError`] if a side is zero, not a multiple of `multiple`, or beyond 8192 pixels.
///
/// ```
/// use conceptrol_core::pipeline::ImageSize;
/// use conceptrol_flux::latents::{PIXELS_PER_TOKEN, token_grid};
///
/// let grid = token_grid(ImageSize::new(512, 768), PIXELS_PER_TOKEN)?;
/// assert_eq!((grid.height, grid.width), (32, 48));
/// assert!(token_grid(ImageSize::new(512, 770), PIXELS_PER_TOKEN).is_err());
/// # Ok::<(), conceptrol_flux::latents::SizeError>(())
/// ```
pub fn token_grid(picture: ImageSize, multiple: usize) -> Result<Grid, SizeError> {
    let ImageSize { height, width } = picture;
    let fits = |side: usize| side > 0 && side <= SIDE_LIMIT && side.is_multiple_of(multiple);
    if !(fits(height) && fits(width)) {
        return Err(SizeError {
            width,
            height,
            multiple,
            limit: SIDE_LIMIT,
        });
    }
    Ok(Grid {
        height: height / multiple,
        width: width / multiple,
    })
}

/// Packs 2 x 2 latent cells into one token, channel-major: `(c, dy, dx)`.
///
/// # Shapes
/// `latents` `[batch, channels, 2 * rows, 2 * columns]` -> `[batch, rows * columns, 4 * channels]`
///
/// # Panics
/// If the height or the width is odd.
pub fn pack(latents: Tensor<4>) -> Tensor<3> {
    let [batch, channels, height, width] = latents.dims();
    assert!(
        height.is_multiple_of(2) && width.is_multiple_of(2),
        "latents of {height}x{width} cells cannot be packed two by two"
    );
    let (rows, columns) = (height / 2, width / 2);
    latents
        .reshape([batch, channels, rows, 2, columns, 2])
        .permute([0, 2, 4, 1, 3, 5]) // [b, rows, columns, c, dy, dx]
        .reshape([batch, rows * columns, 4 * channels])
}

/// Puts packed tokens back into a latent picture, the inverse of [`pack`].
///
/// # Shapes
/// `tokens` `[batch, grid cells, 4 * channels]` -> `[batch, channels, 2 * rows, 2 * columns]`
///
/// # Panics
/// If the number of tokens is not that of the grid.
pub fn unpack(tokens: Tensor<3>, grid: Grid) -> Tensor<4> {
    let [batch, _, width] = tokens.dims();
    let channels = width / 4;
    tokens
        .reshape([batch, grid.height, grid.width, channels, 2, 2])
        .permute([0, 3, 1, 4, 2, 5]) // [b, c, rows, dy, columns, dx]
        .reshape([batch, channels, 2 * grid.height, 2 * grid.width])
}

/// Positions of `count` text tokens: all at the origin.
pub fn text_positions(count: usize) -> Vec<Position> {
    vec![[0.0; 3]; count]
}

/// Positions of the tokens of a grid, row by row: `(0, row, column)`.
pub fn grid_positions(grid: Grid) -> Vec<Position> {
    (0..grid.height)
        .flat_map(|row| (0..grid.width).map(move |column| [0.0, row as f64, column as f64]))
        .collect()
}

#[cfg(test)]
mod tests {
    use conceptrol_core::pipeline::ImageSize;

    use super::{PIXELS_PER_TOKEN, grid_positions, pack, token_grid, unpack};
    use burn::tensor::{Device, Tensor, TensorData};
    use conceptrol_core::Grid;

    fn numbered(shape: [usize; 4]) -> Tensor<4> {
        let values: Vec<f32> = (0..shape.iter().product::<usize>())
            .map(|i| i as f32)
            .collect();
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    #[test]
    fn a_token_holds_its_cells_channel_major() {
        let packed = pack(numbered([1, 2, 4, 6]))
            .into_data()
            .try_to_vec::<f32>()
            .expect("f32");
        // Token (row 1, column 2): cells (2..4, 4..6) of channel 0, then of channel 1.
        let token = &packed[5 * 8..6 * 8];
        assert_eq!(token, [16.0, 17.0, 22.0, 23.0, 40.0, 41.0, 46.0, 47.0]);
    }

    #[test]
    fn unpack_inverts_pack() {
        let latents = numbered([2, 4, 6, 4]);
        let back = unpack(
            pack(latents.clone()),
            Grid {
                height: 3,
                width: 2,
            },
        );
        assert_eq!(back.into_data(), latents.into_data());
    }

    #[test]
    fn positions_run_row_by_row() {
        let positions = grid_positions(Grid {
            height: 2,
            width: 3,
        });
        assert_eq!(positions[4], [0.0, 1.0, 1.0]);
    }

    #[test]
    fn sizes_are_checked() {
        for (height, width) in [(0, 16), (16, 8), (24, 16), (16, 1 << 20), (usize::MAX, 16)] {
            let size = ImageSize::new(height, width);
            assert!(
                token_grid(size, PIXELS_PER_TOKEN).is_err(),
                "{height}x{width}"
            );
        }
    }
}
