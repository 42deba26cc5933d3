//! What a mask source is asked.

use crate::{
    concept::Concept,
    mask::ConceptMask,
    seam::{Grid, MaskError, Probe},
};

/// The question to a [mask source](crate::mask::ConceptMaskSource): where does this concept act at this call?
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MaskQuery<'a> {
    /// Number of the concept in the session: its identity on the [board](crate::mask::MaskBoard), as names need not be
    /// unique.
    pub index: usize,
    /// The concept.
    pub concept: &'a Concept,
    /// All concepts of the session, in their order; empty if nobody said which there are.
    pub concepts: &'a [Concept],
    /// The call, read-only.
    pub probe: &'a Probe<'a>,
}

impl<'a> MaskQuery<'a> {
    /// The question for `concept`, number `index` of the session, at the call that `probe` views.
    pub const fn new(index: usize, concept: &'a Concept, probe: &'a Probe<'a>) -> Self {
        Self {
            index,
            concept,
            concepts: &[],
            probe,
        }
    }

    /// The same question among all concepts of the session, whose number [`index`](Self::index) is this one.
    pub const fn among(mut self, concepts: &'a [Concept]) -> Self {
        self.concepts = concepts;
        self
    }

    /// The question for each concept of the session in turn; for this one if no others are known.
    pub(super) fn of_all(&self) -> impl Iterator<Item = MaskQuery<'a>> {
        let known = self.concepts.iter().enumerate();
        let known = known
            .map(|(index, concept)| Self::new(index, concept, self.probe).among(self.concepts));
        let alone = self.concepts.is_empty().then(|| self.clone());
        alone.into_iter().chain(known)
    }

    /// Grid of the call's latent tokens, on which the mask must lie.
    pub fn grid(&self) -> Grid {
        self.probe.grid()
    }

    /// The textual map of the concept at this call, not normalised.
    ///
    /// # Errors
    ///
    /// As [`Probe::concept_map`].
    pub fn concept_map(&self) -> Result<ConceptMask, MaskError> {
        self.probe.concept_map(self.concept)
    }

    /// Gives `mask` back if it fits the call: what a source that wraps another does with its answer.
    ///
    /// # Errors
    ///
    /// [`MaskError::WrongGrid`] when it lies on another grid, [`MaskError::WrongRows`] when it is for another number of
    /// pictures.
    pub fn fitting(&self, mask: ConceptMask) -> Result<ConceptMask, MaskError> {
        let (found, expected) = (mask.grid(), self.grid());
        if found != expected {
            return Err(MaskError::WrongGrid {
                concept: self.concept.name.clone(),
                found,
                expected,
            });
        }
        let ([rows, _], images) = (mask.values().dims(), self.probe.batch().images);
        if rows != 1 && rows != images {
            return Err(MaskError::WrongRows {
                concept: self.concept.name.clone(),
                rows,
                images,
            });
        }
        Ok(mask)
    }
}
