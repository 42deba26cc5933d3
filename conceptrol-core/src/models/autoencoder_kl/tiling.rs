use burn::tensor::{DType, Tensor, TensorData};

use super::AutoencoderKlConfig;

/// Decoding or encoding a large picture in overlapping tiles, whose seams are blended linearly.
///
/// Memory then grows with the tile, not with the picture. The result differs slightly from that of the whole picture:
/// the norms and the attention of a tile see the tile only. Tiles overlap by a quarter; for tiles of a multiple of four
/// latent cells the geometry is that of `AutoencoderKL.tiled_decode` and `tiled_encode` in diffusers 0.32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiling {
    size: usize,
}

impl Tiling {
    /// Tiles of `size` x `size` pixels, rounded down to whole latent cells and up to at least one.
    pub fn new(size: usize) -> Self {
        Self { size }
    }

    /// The tiles of diffusers: as large as the pictures the model was trained on (`sample_size`).
    pub fn from_config(config: &AutoencoderKlConfig) -> Self {
        Self::new(config.sample_size)
    }

    /// The edge of a tile in pixels.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The edge of a tile in latent cells.
    fn cells(&self, downscale: usize) -> usize {
        (self.size / downscale).max(1)
    }

    /// Tiles of latents, which become `downscale` times larger.
    pub(super) fn for_decode(&self, downscale: usize) -> TilePlan {
        TilePlan::new(self.cells(downscale), 1, downscale)
    }

    /// Tiles of a picture, which become `downscale` times smaller.
    pub(super) fn for_encode(&self, downscale: usize) -> TilePlan {
        TilePlan::new(self.cells(downscale), downscale, 1)
    }
}

/// Lengths along an edge: `input`, `stride` and `smallest` in elements going in, `blend` and `keep` in elements coming out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TilePlan {
    input: usize,
    stride: usize,
    smallest: usize,
    blend: usize,
    keep: usize,
}

impl TilePlan {
    /// Tiles of `cells` latent cells; a cell is `cell_in` elements of the input and `cell_out` of the output.
    fn new(cells: usize, cell_in: usize, cell_out: usize) -> Self {
        let stride = (cells * 3 / 4).max(1);
        Self {
            input: cells * cell_in,
            stride: stride * cell_in,
            smallest: cell_in,
            blend: (cells - stride) * cell_out,
            keep: stride * cell_out,
        }
    }

    /// Whether an input of `height` x `width` is more than one tile.
    pub(super) fn splits(&self, height: usize, width: usize) -> bool {
        height.max(width) > self.input
    }

    /// Where tiles start along an edge of `length` elements; a rest that would come out empty gets none.
    fn starts(&self, length: usize) -> impl Iterator<Item = usize> {
        let smallest = self.smallest;
        (0..length)
            .step_by(self.stride)
            .filter(move |start| length - start >= smallest)
    }

    /// Applies `each` to the tiles of `x` and joins what comes out.
    ///
    /// Only a row of tiles is alive beside the result.
    pub(super) fn run<E>(
        &self,
        x: &Tensor<4>,
        each: impl Fn(Tensor<4>) -> Result<Tensor<4>, E>,
    ) -> Result<Tensor<4>, E> {
        let [_, _, height, width] = x.dims();
        let mut above: Vec<Tensor<4>> = Vec::new();
        let mut rows = Vec::new();
        for top in self.starts(height) {
            let band = x.clone().narrow(2, top, self.input.min(height - top));
            let mut row: Vec<Tensor<4>> = Vec::new();
            for (column, left) in self.starts(width).enumerate() {
                let tile = band.clone().narrow(3, left, self.input.min(width - left));
                let mut tile = each(tile)?;
                if let Some(above) = above.get(column) {
                    tile = blend(above, tile, 2, self.blend);
                }
                if let Some(before) = row.last() {
                    tile = blend(before, tile, 3, self.blend);
                }
                row.push(tile);
            }
            let kept = row.iter().map(|tile| {
                let tile = tile.clone();
                let [_, _, height, width] = tile.dims();
                tile.narrow(2, 0, self.keep.min(height))
                    .narrow(3, 0, self.keep.min(width))
            });
            rows.push(Tensor::cat(kept.collect(), 3));
            above = row;
        }
        Ok(Tensor::cat(rows, 2))
    }
}

/// Fades from the end of `before` into the start of `tile` along `dim`, over at most `extent` elements.
fn blend(before: &Tensor<4>, tile: Tensor<4>, dim: usize, extent: usize) -> Tensor<4> {
    let (length, before_length) = (tile.dims()[dim], before.dims()[dim]);
    let extent = extent.min(length).min(before_length);
    if extent == 0 {
        return tile;
    }
    let ramp: Vec<f32> = (0..extent).map(|i| i as f32 / extent as f32).collect();
    let mut shape = [1; 4];
    shape[dim] = extent;
    let ramp = Tensor::<4>::from_data(TensorData::new(ramp, shape), (&tile.device(), DType::F32));
    let ramp = ramp.cast(tile.dtype());

    let tail = before.clone().narrow(dim, before_length - extent, extent);
    let head = tile.clone().narrow(dim, 0, extent);
    let faded = tail.clone() + (head - tail) * ramp;
    if extent == length {
        return faded;
    }
    Tensor::cat(vec![faded, tile.narrow(dim, extent, length - extent)], dim)
}

#[cfg(test)]
mod tests {
    use super::{TilePlan, Tiling};
    use burn::tensor::{DType, Device, Tensor, TensorData};

    #[test]
    fn geometry_of_diffusers() {
        let plan = Tiling::new(512).for_decode(8);
        let expected = TilePlan {
            input: 64,
            stride: 48,
            smallest: 1,
            blend: 128,
            keep: 384,
        };
        assert_eq!(plan, expected);
        let plan = Tiling::new(512).for_encode(8);
        let expected = TilePlan {
            input: 512,
            stride: 384,
            smallest: 8,
            blend: 16,
            keep: 48,
        };
        assert_eq!(plan, expected);
    }

    #[test]
    fn a_pointwise_function_does_not_see_tiles() {
        let device = Device::flex();
        for (height, width, cells) in [(7, 13, 4), (64, 3, 5), (9, 9, 1), (97, 65, 64), (1, 2, 2)] {
            let values: Vec<f32> = (0..height * width)
                .map(|i| (i as f32 * 0.7).sin())
                .collect();
            let data = TensorData::new(values, [1, 1, height, width]);
            let x = Tensor::<4>::from_data(data, (&device, DType::F32));
            let tiled = Tiling::new(cells)
                .for_decode(1)
                .run(&x, |tile| Ok::<_, ()>(tile * 2.0))
                .expect("no error");
            assert_eq!(tiled.dims(), x.dims());
            let diff = (tiled - x * 2.0).abs().max().into_scalar::<f32>();
            assert!(
                diff < 1e-6,
                "{height}x{width} in tiles of {cells} differs by {diff}"
            );
        }
    }

    #[test]
    fn sizes_survive_any_tile() {
        let device = Device::flex();
        for (height, width, size) in [(100, 73, 32), (8, 8, 8), (65, 129, 40), (33, 47, 16)] {
            let x = Tensor::<4>::zeros([1, 1, height, width], (&device, DType::F32));
            let shrink = |tile: Tensor<4>| {
                let [_, _, h, w] = tile.dims();
                Tensor::zeros([1, 1, h / 8, w / 8], (&tile.device(), DType::F32))
            };
            let tiled = Tiling::new(size)
                .for_encode(8)
                .run(&x, |tile| Ok::<_, ()>(shrink(tile)))
                .expect("no error");
            assert_eq!(tiled.dims(), [1, 1, height / 8, width / 8]);
        }
    }
}
