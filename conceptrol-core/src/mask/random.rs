//! A mask without meaning, for ablations.

use burn::tensor::{Tensor, TensorData};

use crate::{
    concept::Concept,
    mask::{ConceptMask, ConceptMaskSource, MaskBoard, ResizeFilter},
    seam::{Grid, MaskError, Probe},
};

/// Under which resized masks are remembered.
const MEMORY: &str = "random";

/// The noise is drawn on this grid, whatever the site, so that all sites agree.
const NOISE_GRID: Grid = Grid::new(64, 64);

/// Uniform noise in 0..1, the same at every site and step of a generation: what is left of the
/// method when the mask knows nothing.
#[derive(Debug, Clone, Copy)]
pub struct Random {
    seed: u64,
}

impl Random {
    /// Noise from this seed; each concept and picture gets its own.
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }
}

impl ConceptMaskSource for Random {
    fn mask(
        &self,
        index: usize,
        _concept: &Concept,
        probe: &Probe<'_>,
        board: &mut MaskBoard,
    ) -> Result<Option<ConceptMask>, MaskError> {
        let grid = probe.grid();
        if board.recall(MEMORY, index, grid).is_none() {
            let images = probe.batch().images;
            let mut state = self.seed.wrapping_add((index as u64) << 32);
            let values: Vec<f32> = (0..images * NOISE_GRID.cells())
                .map(|_| uniform(&mut state))
                .collect();
            let query = &probe.call().query;
            let values = TensorData::new(values, [images, NOISE_GRID.cells()]);
            let values = Tensor::from_data(values, (&query.device(), query.dtype()));
            let noise = ConceptMask::new(values, NOISE_GRID)?;
            board.remember(MEMORY, index, noise.resized(grid, ResizeFilter::Nearest));
        }
        Ok(board.recall(MEMORY, index, grid).cloned())
    }
}

/// `SplitMix64`, upper 24 bits.
#[expect(clippy::cast_precision_loss, reason = "24 bits fit f32 exactly")]
fn uniform(state: &mut u64) -> f32 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 40) as f32 / (1 << 24) as f32
}
