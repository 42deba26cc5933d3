//! The read-only view of a call that mask sources get.

use std::cell::OnceCell;

use burn::tensor::Tensor;

use crate::{
    concept::Concept,
    kernel,
    mask::{ConceptMask, Stamp},
    seam::{AttentionCall, AttentionSite, BatchLayout, Grid, MaskError, StepInfo},
};

/// What a mask source sees of a call. The textual map is computed once, when first asked for,
/// whatever the number of concepts and sources.
#[derive(Debug)]
pub struct Probe<'a> {
    site: &'a AttentionSite,
    step: StepInfo,
    batch: BatchLayout,
    call: &'a AttentionCall,
    text_map: OnceCell<Tensor<3>>,
}

impl<'a> Probe<'a> {
    /// A view of one call.
    pub const fn new(
        site: &'a AttentionSite,
        step: StepInfo,
        batch: BatchLayout,
        call: &'a AttentionCall,
    ) -> Self {
        Self {
            site,
            step,
            batch,
            call,
            text_map: OnceCell::new(),
        }
    }

    /// The site that is called.
    pub const fn site(&self) -> &AttentionSite {
        self.site
    }

    /// The step it is called in.
    pub const fn step(&self) -> StepInfo {
        self.step
    }

    /// The rows of the call.
    pub const fn batch(&self) -> BatchLayout {
        self.batch
    }

    /// The call itself.
    pub const fn call(&self) -> &AttentionCall {
        self.call
    }

    /// Grid of the latent tokens.
    pub fn grid(&self) -> Grid {
        self.call.layout.grid()
    }

    /// Where each latent token looks among the text tokens: the mean over heads of the softmax
    /// over the text keys, for the conditional rows, `[images, latents, text_len]`. Each row sums
    /// to 1.
    ///
    /// In joint attention this is the share among the text keys, in which the normaliser of the
    /// whole sequence cancels. A bias that layers have added to the call does not count.
    ///
    /// # Errors
    ///
    /// [`MaskError::NoText`] in self-attention.
    pub fn text_map(&self) -> Result<Tensor<3>, MaskError> {
        let text = self
            .call
            .layout
            .text
            .clone()
            .filter(|text| !text.is_empty())
            .ok_or(MaskError::NoText)?;
        let map = self.text_map.get_or_init(|| {
            let rows = self.batch.conditional();
            let latents = self.call.layout.latents.range.clone();
            let query = self
                .call
                .query
                .clone()
                .slice_dim(0, rows.clone())
                .slice_dim(2, latents);
            let key = self.call.key.clone().slice_dim(0, rows).slice_dim(2, text);
            kernel::text_map(query, key)
        });
        Ok(map.clone())
    }

    /// The mean of [`text_map`](Self::text_map) over the tokens of a concept, not normalised.
    ///
    /// # Errors
    ///
    /// [`MaskError::NoText`] in self-attention, [`MaskError::BeyondText`] when the concept ends
    /// after the call's text.
    pub fn concept_map(&self, concept: &Concept) -> Result<ConceptMask, MaskError> {
        let map = self.text_map()?; // [images, latents, text]
        let text_len = self.call.layout.text_len();
        if concept.spans.is_empty() {
            return Err(MaskError::NoWords {
                concept: concept.name.clone(),
            });
        }
        if concept.end() > text_len {
            let (concept, end) = (concept.name.clone(), concept.end());
            return Err(MaskError::BeyondText {
                concept,
                end,
                text_len,
            });
        }
        let weights =
            concept.token_weights(self.batch.images, text_len, &map.device(), map.dtype());
        let values = map.matmul(weights.unsqueeze_dim(2)).squeeze_dim(2); // [images, latents]
        Ok(ConceptMask::new(values, self.grid())?.with_stamp(self.stamp()))
    }

    /// Site and step, to tell how old a mask is.
    pub const fn stamp(&self) -> Stamp {
        Stamp::new(self.site.id, self.step.index)
    }
}
