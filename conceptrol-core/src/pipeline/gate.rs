//! Keeping something to where a concept acts, or to where it does not.

use burn::tensor::{Device, Tensor};

use crate::seam::{Grid, Session};

/// A concept whose mask multiplies what something adds: a `ControlNet`, an edit.
///
/// The mask is the one that was published last, its peak 1, within the user's own or replaced by it, on the grid of what it
/// multiplies. Before the first mask nothing is added on either side of it.
///
/// ```
/// use conceptrol_core::pipeline::ConceptGate;
///
/// assert!(!ConceptGate::inside(0).complement);
/// assert!(ConceptGate::outside(0).complement);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ConceptGate {
    /// Index of the concept in the request.
    pub concept: usize,
    /// Whether one minus the mask is meant.
    pub complement: bool,
}

impl ConceptGate {
    /// Where the concept acts.
    pub const fn inside(concept: usize) -> Self {
        let complement = false;
        Self {
            concept,
            complement,
        }
    }

    /// Where it does not act.
    pub const fn outside(concept: usize) -> Self {
        let complement = true;
        Self {
            concept,
            complement,
        }
    }

    /// The factor at each place of every row, in f32; nothing before the concept's first mask.
    ///
    /// # Shapes
    ///
    /// -> `[rows, 1, height, width]`
    pub fn factor(self, session: &mut Session, grid: Grid, device: &Device) -> Option<Tensor<4>> {
        let mask = session.place(self.concept, grid, device)?; // [rows, cells]
        let [rows, _] = mask.dims();
        let mask = mask.reshape([rows, 1, grid.height, grid.width]);
        Some(if self.complement { 1.0 - mask } else { mask })
    }
}
