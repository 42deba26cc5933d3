//! One attention call, and the read-only view of it that mask sources get.

use std::cell::OnceCell;

use burn::tensor::Tensor;

use crate::{
    concept::Concept,
    kernel::{self, LogitBias},
    mask::{ConceptMask, Stamp},
    seam::{AttentionSite, BatchLayout, Grid, MaskError, StepInfo, TokenLayout},
};

/// One evaluation at a site: query, key and value after projection, norm and rotary
/// embedding, before the output projection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AttentionCall {
    /// `[rows, heads, q_len, head_dim]`
    pub query: Tensor<4>,
    /// `[rows, heads, k_len, head_dim]`
    pub key: Tensor<4>,
    /// `[rows, heads, k_len, value_dim]`
    pub value: Tensor<4>,
    /// The roles of the tokens.
    pub layout: TokenLayout,
    /// What is added to the logits.
    pub bias: Option<LogitBias>,
    gates: Vec<Gate>,
}

impl AttentionCall {
    /// A call whose tokens have the roles of `layout`.
    pub const fn new(
        query: Tensor<4>,
        key: Tensor<4>,
        value: Tensor<4>,
        layout: TokenLayout,
    ) -> Self {
        Self {
            query,
            key,
            value,
            layout,
            bias: None,
            gates: Vec::new(),
        }
    }

    /// Latent queries on `grid`, all keys text.
    pub fn cross(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, grid: Grid) -> Self {
        let text_len = key.dims()[2];
        Self::new(query, key, value, TokenLayout::cross(grid, text_len))
    }

    /// Latent queries and keys on `grid`.
    pub fn self_attention(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, grid: Grid) -> Self {
        Self::new(query, key, value, TokenLayout::self_attention(grid))
    }

    /// One sequence of text, latents and conditions.
    pub const fn joint(
        query: Tensor<4>,
        key: Tensor<4>,
        value: Tensor<4>,
        layout: TokenLayout,
    ) -> Self {
        Self::new(query, key, value, layout)
    }

    /// Attaches a gate for an adapter below to apply.
    pub fn push_gate(&mut self, gate: Gate) {
        self.gates.push(gate);
    }

    /// The gates that no adapter has applied yet.
    pub fn gates(&self) -> &[Gate] {
        &self.gates
    }

    /// Takes the gates that `applies` accepts; who takes a gate must apply it.
    pub fn take_gates(&mut self, applies: impl Fn(&Gate) -> bool) -> Vec<Gate> {
        let (taken, left) = std::mem::take(&mut self.gates)
            .into_iter()
            .partition(|gate| applies(gate));
        self.gates = left;
        taken
    }
}

/// A mask that an adapter is to apply to the image condition of one concept.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Gate {
    /// Index of the concept in the session.
    pub concept: usize,
    /// How strongly the condition acts on each latent token, `[images, latents]`.
    pub mask: Tensor<2>,
}

impl Gate {
    /// A gate for one concept of the session.
    pub const fn new(concept: usize, mask: Tensor<2>) -> Self {
        Self { concept, mask }
    }
}

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
    /// whole sequence cancels.
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
        Stamp {
            site: self.site.id,
            step: self.step.index,
        }
    }
}
