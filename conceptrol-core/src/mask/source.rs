//! The trait of everything that can say where a concept acts.

use std::{fmt, sync::Arc};

use crate::{
    mask::{ConceptMask, MaskBoard, MaskQuery},
    seam::{InstallError, Installation, MaskError, type_name},
};

/// Says which mask is in force for a concept at a call.
///
/// Called by [`Conceptrol`](crate::processors::ConceptrolLayer) before the attention of every
/// site it is installed on, once per concept in the session's order, with `&self`: what must be
/// remembered between calls goes to the board, under a [`MemoryKey`](crate::mask::MemoryKey) of the source. Never reads
/// tensor values back to the host.
///
/// # Example
///
/// A source that lets every concept act on the left half only:
///
/// ```
/// use burn::tensor::Tensor;
/// use conceptrol_core::{
///     MaskError,
///     mask::{ConceptMask, ConceptMaskSource, MaskBoard, MaskQuery},
/// };
///
/// #[derive(Debug)]
/// struct LeftHalf;
///
/// impl ConceptMaskSource for LeftHalf {
///     fn mask(&self, query: &MaskQuery<'_>, _: &mut MaskBoard) -> Result<Option<ConceptMask>, MaskError> {
///         let grid = query.grid();
///         let cells: Vec<f32> = (0..grid.cells())
///             .map(|cell| if cell % grid.width < grid.width / 2 { 1.0 } else { 0.0 })
///             .collect();
///         let row = Tensor::<1>::from_floats(cells.as_slice(), &query.probe.call().query.device());
///         Ok(Some(ConceptMask::new(row.unsqueeze(), grid)?))
///     }
/// }
/// ```
pub trait ConceptMaskSource: fmt::Debug + Send + Sync {
    /// The mask of the concept at this call, on the call's grid; `[images, latents]` or `[1, latents]` for all. May
    /// publish to `board` for later sites and steps. `Ok(None)` leaves the image condition ungated.
    ///
    /// # Errors
    ///
    /// [`MaskError`] when no mask can be given.
    fn mask(
        &self,
        query: &MaskQuery<'_>,
        board: &mut MaskBoard,
    ) -> Result<Option<ConceptMask>, MaskError>;

    /// Whether it publishes the masks of concepts to the board itself. For a source that does not, its latest answer stands
    /// where a published mask would: it is what gates a low-rank adapter at a concept. A source made of others says what
    /// they say.
    fn publishes(&self) -> bool {
        false
    }

    /// Checks the source against the model and the sites it is asked at, when it is installed.
    ///
    /// # Errors
    ///
    /// [`InstallError`] when it names sites that the model does not have, or where it could not be read.
    fn check(&self, at: &Installation<'_>) -> Result<(), InstallError> {
        let _ = at;
        Ok(())
    }

    /// What the source is, in a few words for the [display of a plan](crate::AttentionPlan). The name of the type
    /// unless said otherwise.
    fn describe(&self) -> String {
        type_name::<Self>()
    }
}

macro_rules! forward_source {
    ($($pointer:ty),*) => {$(
        impl<S: ConceptMaskSource + ?Sized> ConceptMaskSource for $pointer {
            fn mask(
                &self,
                query: &MaskQuery<'_>,
                board: &mut MaskBoard,
            ) -> Result<Option<ConceptMask>, MaskError> {
                (**self).mask(query, board)
            }

            fn publishes(&self) -> bool {
                (**self).publishes()
            }

            fn check(&self, at: &Installation<'_>) -> Result<(), InstallError> {
                (**self).check(at)
            }

            fn describe(&self) -> String {
                (**self).describe()
            }
        }
    )*};
}

forward_source!(&S, Box<S>, Arc<S>);

/// Asks a source, and keeps the answer of one that publishes nothing.
pub(crate) fn ask<S: ConceptMaskSource + ?Sized>(
    source: &S,
    query: &MaskQuery<'_>,
    board: &mut MaskBoard,
) -> Result<Option<ConceptMask>, MaskError> {
    let answer = source.mask(query, board)?;
    if let Some(mask) = answer.as_ref().filter(|_| !source.publishes()) {
        board.keep_answer(query.index, mask.clone());
    }
    Ok(answer)
}
