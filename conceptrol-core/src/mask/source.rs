//! The trait of everything that can say where a concept acts.

use std::{fmt, sync::Arc};

use crate::{
    concept::Concept,
    mask::{ConceptMask, MaskBoard},
    seam::{AttentionSites, InstallError, MaskError, Probe},
};

/// Says which mask is in force for a concept at a call.
///
/// Called by [`Conceptrol`](crate::processors::ConceptrolLayer) before the attention of every
/// site it is installed on, once per concept in the session's order, with `&self`: what must be
/// remembered between calls goes to the board. Never reads tensor values back to the host.
///
/// # Example
///
/// A source that lets every concept act on the left half only:
///
/// ```
/// use burn::tensor::Tensor;
/// use conceptrol_core::{
///     Concept, MaskError, Probe,
///     mask::{ConceptMask, ConceptMaskSource, MaskBoard},
/// };
///
/// #[derive(Debug)]
/// struct LeftHalf;
///
/// impl ConceptMaskSource for LeftHalf {
///     fn mask(&self, _: usize, _: &Concept, probe: &Probe<'_>, _: &mut MaskBoard) -> Result<Option<ConceptMask>, MaskError> {
///         let grid = probe.grid();
///         let cells: Vec<f32> = (0..grid.cells())
///             .map(|cell| if cell % grid.width < grid.width / 2 { 1.0 } else { 0.0 })
///             .collect();
///         let row = Tensor::<1>::from_floats(cells.as_slice(), &probe.call().query.device());
///         Ok(Some(ConceptMask::new(row.unsqueeze(), grid)?))
///     }
/// }
/// ```
pub trait ConceptMaskSource: fmt::Debug + Send + Sync {
    /// The mask of `concept`, number `index` of the session, at this call, on the call's grid;
    /// `[images, latents]` or `[1, latents]` for all. May publish to `board` for later sites and
    /// steps. `Ok(None)` leaves the image condition ungated.
    ///
    /// # Errors
    ///
    /// [`MaskError`] when no mask can be given.
    fn mask(
        &self,
        index: usize,
        concept: &Concept,
        probe: &Probe<'_>,
        board: &mut MaskBoard,
    ) -> Result<Option<ConceptMask>, MaskError>;

    /// Checks the source against a model when it is installed.
    ///
    /// # Errors
    ///
    /// [`InstallError`] when it names sites the model does not have.
    fn check(&self, sites: &AttentionSites) -> Result<(), InstallError> {
        let _ = sites;
        Ok(())
    }
}

macro_rules! forward_source {
    ($($pointer:ty),*) => {$(
        impl<S: ConceptMaskSource + ?Sized> ConceptMaskSource for $pointer {
            fn mask(
                &self,
                index: usize,
                concept: &Concept,
                probe: &Probe<'_>,
                board: &mut MaskBoard,
            ) -> Result<Option<ConceptMask>, MaskError> {
                (**self).mask(index, concept, probe, board)
            }

            fn check(&self, sites: &AttentionSites) -> Result<(), InstallError> {
                (**self).check(sites)
            }
        }
    )*};
}

forward_source!(&S, Box<S>, Arc<S>);
