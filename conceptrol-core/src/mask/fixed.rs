//! Masks given by the user.

use crate::{
    concept::Concept,
    mask::{ConceptMask, ConceptMaskSource, MaskBoard, ResizeFilter},
    seam::{AttentionSites, InstallError, MaskError, Probe},
};

/// Under which resized masks are remembered.
const MEMORY: &str = "fixed";

/// The concept's own [`mask`](Concept::mask), averaged to the grid of every site; what
/// concepts without one get is said when it is made.
#[derive(Debug, Clone)]
pub struct Fixed<S> {
    otherwise: S,
}

/// What [`Fixed`] does when a concept has no mask: an error.
#[derive(Debug, Clone, Copy)]
pub struct Required;

impl Fixed<Required> {
    /// Every concept must have a mask of its own.
    pub const fn required() -> Self {
        Self {
            otherwise: Required,
        }
    }
}

impl<S: ConceptMaskSource> Fixed<S> {
    /// Concepts without a mask of their own take it from `source`.
    pub const fn or(source: S) -> Self {
        Self { otherwise: source }
    }
}

impl ConceptMaskSource for Required {
    fn mask(
        &self,
        _index: usize,
        concept: &Concept,
        _probe: &Probe<'_>,
        _board: &mut MaskBoard,
    ) -> Result<Option<ConceptMask>, MaskError> {
        Err(MaskError::NoMask {
            concept: concept.name.clone(),
        })
    }
}

impl<S: ConceptMaskSource> ConceptMaskSource for Fixed<S> {
    fn mask(
        &self,
        index: usize,
        concept: &Concept,
        probe: &Probe<'_>,
        board: &mut MaskBoard,
    ) -> Result<Option<ConceptMask>, MaskError> {
        let Some(own) = &concept.mask else {
            return self.otherwise.mask(index, concept, probe, board);
        };
        let grid = probe.grid();
        if board.recall(MEMORY, index, grid).is_none() {
            // a drawn mask has far more pixels than a site has tokens: average rather than pick
            board.remember(MEMORY, index, own.resized(grid, ResizeFilter::Area));
        }
        Ok(board.recall(MEMORY, index, grid).cloned())
    }

    fn check(&self, sites: &AttentionSites) -> Result<(), InstallError> {
        self.otherwise.check(sites)
    }
}
