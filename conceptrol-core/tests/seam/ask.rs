//! Asking one source outside a plan.

use burn::tensor::{Device, Tensor};
use conceptrol_core::{
    BatchLayout, Concept, Grid, MaskError, Probe, SiteId, StepInfo,
    mask::{ConceptMask, ConceptMaskSource, MaskBoard, MaskQuery},
};

use crate::{cross_call, cross_sites};

/// The mask of a source for the only concept, at a site of [`cross_sites`] in a step.
pub(crate) fn ask(
    source: &impl ConceptMaskSource,
    concept: &Concept,
    (site, step, images): (usize, usize, usize),
    board: &mut MaskBoard,
) -> Result<Option<ConceptMask>, MaskError> {
    let (sites, call) = (cross_sites(), cross_call(site, images, step));
    let site = sites.get(SiteId::new(site)).expect("3 sites");
    let (step, batch) = (StepInfo::new(step, 3, 0.0), BatchLayout::unguided(images));
    let probe = Probe::new(site, step, batch, &call);
    source.mask(&MaskQuery::new(0, concept, &probe), board)
}

pub(crate) fn values(mask: &ConceptMask) -> Vec<f32> {
    mask.values().to_data().try_to_vec().expect("f32")
}

/// A mask on the grid of the site in the middle, 2x3.
pub(crate) fn mask(values: [f32; 6]) -> ConceptMask {
    let row = Tensor::<1>::from_floats(values, &Device::flex()).unsqueeze();
    ConceptMask::new(row, Grid::new(2, 3)).expect("6 cells")
}

/// Another mask at each step.
#[derive(Debug, Clone)]
pub(crate) struct Steps(pub(crate) Vec<[f32; 6]>);

impl ConceptMaskSource for Steps {
    fn mask(
        &self,
        query: &MaskQuery<'_>,
        _: &mut MaskBoard,
    ) -> Result<Option<ConceptMask>, MaskError> {
        Ok(Some(mask(self.0[query.probe.step().index])))
    }
}
