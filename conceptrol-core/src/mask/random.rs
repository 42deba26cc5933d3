//! A mask without meaning, for ablations.

use burn::tensor::{DType, Tensor, TensorData};

use crate::{
    mask::{ConceptMask, ConceptMaskSource, MaskBoard, MaskQuery, MemoryKey, ResizeFilter},
    seam::{Grid, MaskError},
};

/// The noise is drawn on this grid, whatever the site, so that all sites agree.
const NOISE_GRID: Grid = Grid::new(64, 64);

/// Uniform noise in 0..1, the same at every site and step of a generation: what is left of the
/// method when the mask knows nothing.
///
/// Each concept has its own noise, all pictures of a batch the same: a picture does not depend on its place in the batch.
#[derive(Debug, Clone)]
pub struct Random {
    seed: u64,
    memory: MemoryKey,
}

impl Random {
    /// Noise from this seed.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            memory: MemoryKey::new(),
        }
    }
}

impl ConceptMaskSource for Random {
    fn mask(
        &self,
        query: &MaskQuery<'_>,
        board: &mut MaskBoard,
    ) -> Result<Option<ConceptMask>, MaskError> {
        let grid = query.grid();
        if let Some(mask) = board.recall(&self.memory, query.index, grid) {
            return Ok(Some(mask.clone()));
        }
        let mut state = self.seed.wrapping_add((query.index as u64) << 32);
        let values: Vec<f32> = (0..NOISE_GRID.cells())
            .map(|_| uniform(&mut state))
            .collect();
        let values = TensorData::new(values, [1, NOISE_GRID.cells()]);
        let device = query.probe.call().query.device();
        let noise = ConceptMask::new(Tensor::from_data(values, (&device, DType::F32)), NOISE_GRID)?;
        let mask = noise.resized(grid, ResizeFilter::Nearest);
        board.remember(&self.memory, query.index, grid, mask.clone());
        Ok(Some(mask))
    }

    fn describe(&self) -> String {
        format!("Random({})", self.seed)
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
