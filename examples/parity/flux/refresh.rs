//! When the authors' code makes a new mask.

use std::{
    error::Error,
    sync::{Mutex, PoisonError},
};

use conceptrol_core::{
    MaskError, SiteSelector,
    mask::{ConceptBlock, ConceptMask, ConceptMaskSource, MaskBoard, MaskQuery},
};

use crate::case::{Case, array};

/// The authors' refresh rule: a counter over all calls of all steps, taken modulo a number of blocks.
#[derive(Debug)]
pub(super) struct Counter {
    blocks: usize,
    concept_block: usize,
    calls_per_step: usize,
    refreshing: ConceptBlock,
    reading: ConceptBlock,
    refreshes: Mutex<Vec<Refresh>>,
}

/// A published mask: step, call and count, and the logarithm of its values.
#[derive(Debug, Clone)]
pub(super) struct Refresh {
    pub(super) when: [f32; 3],
    pub(super) log_mask: Vec<f32>,
}

impl Counter {
    pub(super) fn of(case: &Case) -> Result<Self, Box<dyn Error>> {
        let whole = |name: &str| -> Result<usize, Box<dyn Error>> {
            Ok(usize::try_from(
                case.params()[name]
                    .as_u64()
                    .ok_or(format!("no whole number `{name}`"))?,
            )?)
        };
        Ok(Self {
            blocks: whole("NUM_BLOCKS")?,
            concept_block: whole("CONCEPT_BLOCK_IDX")?,
            calls_per_step: whole("attention_calls_per_step")?,
            refreshing: ConceptBlock::joint(SiteSelector::all()),
            reading: ConceptBlock::joint(SiteSelector::all().except(SiteSelector::all())),
            refreshes: Mutex::default(),
        })
    }

    pub(super) fn refreshes(&self) -> Vec<Refresh> {
        self.refreshes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl ConceptMaskSource for Counter {
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    fn mask(
        &self,
        query: &MaskQuery<'_>,
        board: &mut MaskBoard,
    ) -> Result<Option<ConceptMask>, MaskError> {
        let (step, call) = (query.probe.step().index, query.probe.site().id.index());
        let count = step * self.calls_per_step + call;
        if count % self.blocks != self.concept_block {
            return self.reading.mask(query, board);
        }
        let mask = self.refreshing.mask(query, board)?;
        if let Some(fresh) = board.latest(query.index) {
            let log_mask = array(fresh.values().clone().log()).values;
            let refresh = Refresh {
                when: [step as f32, call as f32, count as f32],
                log_mask,
            };
            self.refreshes
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(refresh);
        }
        Ok(mask)
    }
}
