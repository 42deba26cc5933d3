//! What a processor gets beside the call.

use crate::{
    concept::Concept,
    mask::MaskBoard,
    seam::{
        AttentionCall, AttentionSite, BatchLayout, BlockEnd, Captures, Probe, ProjectionCache,
        StepInfo,
    },
};

/// What a processor sees and may change of the running generation.
#[derive(Debug)]
#[non_exhaustive]
pub struct AttentionContext<'a> {
    /// The site that is called.
    pub site: &'a AttentionSite,
    /// The step it is called in.
    pub step: StepInfo,
    /// The rows of the call.
    pub batch: BatchLayout,
    /// The concepts of the generation.
    pub concepts: &'a [Concept],
    /// Strength of the image condition at this step.
    pub condition_strength: f32,
    /// Published concept masks.
    pub board: &'a mut MaskBoard,
    /// Step-invariant keys and values.
    pub cache: &'a mut ProjectionCache,
    /// What is added at the end of the block this attention is in.
    pub block_end: &'a mut BlockEnd,
    /// What was captured for later study.
    pub captures: &'a mut Captures,
}

impl AttentionContext<'_> {
    /// The read-only view of a call that mask sources take.
    pub const fn probe<'c>(&'c self, call: &'c AttentionCall) -> Probe<'c> {
        Probe::new(self.site, self.step, self.batch, call)
    }
}
