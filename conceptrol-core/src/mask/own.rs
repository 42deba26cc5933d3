//! Masks given by the user.

use crate::{
    mask::{ConceptMask, ConceptMaskSource, MaskBoard, MaskQuery, MemoryKey, ResizeFilter, ask},
    seam::{InstallError, Installation, MaskError},
};

/// The concept's own [`mask`](crate::Concept::mask) and nothing else, averaged to the grid of every site.
#[derive(Debug, Clone)]
pub struct Fixed {
    memory: MemoryKey,
}

impl Fixed {
    /// Every concept must have a mask of its own; [`MaskError::NoMask`] otherwise.
    pub fn required() -> Self {
        Self {
            memory: MemoryKey::new(),
        }
    }
}

impl ConceptMaskSource for Fixed {
    fn mask(
        &self,
        query: &MaskQuery<'_>,
        board: &mut MaskBoard,
    ) -> Result<Option<ConceptMask>, MaskError> {
        match own_mask(query, &self.memory, board) {
            None => Err(MaskError::NoMask {
                concept: query.concept.name.clone(),
            }),
            own => Ok(own),
        }
    }
}

/// Joins the concept's own [`mask`](crate::Concept::mask) and that of a source, as the concept's [`MaskRole`](crate::MaskRole) says.
///
/// - [`Within`](crate::MaskRole::Within): the product of both. The source is asked at every call, so that it goes on
///   publishing. It normalises before the product: a peak of 1 (SD) or a mean of 1 (FLUX) is what the source alone would have. Where the
///   user's mask is 1 the concept acts as without it, where it is 0 not at all; ones everywhere change nothing.
/// - [`Instead`](crate::MaskRole::Instead): the user's mask alone. The source is not asked.
///
/// Concepts without a mask of their own have the source's, concepts that stand for no words their own.
#[derive(Debug, Clone)]
pub struct OwnMask<S> {
    source: S,
    memory: MemoryKey,
}

impl<S: ConceptMaskSource> OwnMask<S> {
    /// Each concept's own mask over the masks of `source`.
    pub fn over(source: S) -> Self {
        Self {
            source,
            memory: MemoryKey::new(),
        }
    }
}

impl<S: ConceptMaskSource> ConceptMaskSource for OwnMask<S> {
    fn mask(
        &self,
        query: &MaskQuery<'_>,
        board: &mut MaskBoard,
    ) -> Result<Option<ConceptMask>, MaskError> {
        let Some(own) = own_mask(query, &self.memory, board) else {
            return ask(&self.source, query, board);
        };
        if query.concept.uses_own_mask_alone() {
            return Ok(Some(own));
        }
        Ok(Some(match ask(&self.source, query, board)? {
            Some(mask) => query.fitting(mask)?.times(own),
            None => own,
        }))
    }

    /// What the source answers is kept without the concept's own mask, which gates know.
    fn publishes(&self) -> bool {
        true
    }

    fn check(&self, at: &Installation<'_>) -> Result<(), InstallError> {
        self.source.check(at)
    }

    fn describe(&self) -> String {
        format!("OwnMask over {}", self.source.describe())
    }
}

/// The concept's own mask on the grid and device of the call, resized once a grid.
fn own_mask(
    query: &MaskQuery<'_>,
    memory: &MemoryKey,
    board: &mut MaskBoard,
) -> Option<ConceptMask> {
    let own = query.concept.mask.as_ref()?;
    let grid = query.grid();
    if let Some(mask) = board.recall(memory, query.index, grid) {
        return Some(mask.clone());
    }
    // a drawn mask has far more pixels than a site has tokens: average rather than pick
    let device = query.probe.call().query.device();
    let mask = own.clone().on(&device).resized(grid, ResizeFilter::Area);
    board.remember(memory, query.index, grid, mask.clone());
    Some(mask)
}
