//! Every site's own map, without a concept block.

use crate::{
    concept::Concept,
    mask::{ConceptMask, ConceptMaskSource, MaskBoard, MaskNorm},
    seam::{MaskError, Probe},
};

/// The site's own textual map, the authors' `global_masking = false`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Local {
    norm: MaskNorm,
}

impl Local {
    /// The site's own map, peak 1.
    pub const fn new() -> Self {
        Self {
            norm: MaskNorm::Max,
        }
    }

    /// Sets the normalisation.
    pub const fn with_norm(mut self, norm: MaskNorm) -> Self {
        self.norm = norm;
        self
    }
}

impl ConceptMaskSource for Local {
    fn mask(
        &self,
        _index: usize,
        concept: &Concept,
        probe: &Probe<'_>,
        _board: &mut MaskBoard,
    ) -> Result<Option<ConceptMask>, MaskError> {
        Ok(Some(probe.concept_map(concept)?.normalized(self.norm)))
    }
}
