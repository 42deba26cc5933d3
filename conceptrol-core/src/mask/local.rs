//! Every site's own map, without a concept block.

use crate::{
    mask::{ConceptMask, ConceptMaskSource, MaskBoard, MaskNorm, MaskQuery},
    seam::MaskError,
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
    pub const fn norm(mut self, norm: MaskNorm) -> Self {
        self.norm = norm;
        self
    }
}

impl ConceptMaskSource for Local {
    fn mask(
        &self,
        query: &MaskQuery<'_>,
        _board: &mut MaskBoard,
    ) -> Result<Option<ConceptMask>, MaskError> {
        Ok(Some(query.concept_map()?.normalized(self.norm)))
    }

    fn describe(&self) -> String {
        format!("Local({:?})", self.norm)
    }
}
