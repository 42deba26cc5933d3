//! The concept as a session sees it: token positions, reference tokens, scale, mask.

use std::ops::Range;

use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::{
    mask::ConceptMask,
    seam::{BatchLayout, InstallError},
};

/// A phrase of the prompt that a reference picture stands for.
///
/// ```
/// use conceptrol_core::Concept;
/// // "a cat" at text tokens 1..3 of the only prompt (0 is the start token)
/// let concept = Concept::new("a cat", [vec![1..3]]).scale(0.8);
/// assert_eq!(concept.end(), 3);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Concept {
    /// What messages call it.
    pub name: String,
    /// Positions of its text tokens, the start token counted: for each picture the ranges of all
    /// occurrences that count, or one entry for all pictures. Empty for a picture that no word
    /// stands for, which only an adapter without masks can use.
    pub spans: Vec<Vec<Range<usize>>>,
    /// What the tokens of each range count in the mean over the concept's tokens, with the same entries as `spans`; if it
    /// is empty, all count the same.
    pub weights: Vec<Vec<f32>>,
    /// What the adapter made of the reference picture. FLUX has it in the sequence instead.
    pub reference: Option<ReferenceTokens>,
    /// Whether a reference picture stands behind it. Otherwise it is there for its mask alone.
    pub conditioned: bool,
    /// Factor on the strength of this concept's condition.
    pub scale: f32,
    /// A mask given by the user.
    pub mask: Option<ConceptMask>,
    /// What becomes of the mask read from attention where there is one of the user's.
    pub mask_role: MaskRole,
}

/// How a concept's own mask and the one read from attention go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum MaskRole {
    /// The concept acts where both let it: their product.
    #[default]
    Within,
    /// The user's mask is the mask; attention is not read for this concept.
    Instead,
}

/// The reference picture as tokens of an adapter.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReferenceTokens {
    /// Which of the installed adapters they belong to, counted from 0.
    pub adapter: usize,
    /// `[images | 1, tokens, context]`, for the conditional rows.
    pub conditional: Tensor<3>,
    /// `[images | 1, tokens, context]`, for the unconditional rows.
    pub unconditional: Tensor<3>,
}

impl Concept {
    /// A concept at these token positions: for each picture the ranges that count, or one entry
    /// for all.
    pub fn new(
        name: impl Into<String>,
        spans: impl IntoIterator<Item = Vec<Range<usize>>>,
    ) -> Self {
        Self {
            name: name.into(),
            spans: spans.into_iter().collect(),
            weights: Vec::new(),
            reference: None,
            conditioned: true,
            scale: 1.0,
            mask: None,
            mask_role: MaskRole::default(),
        }
    }

    /// Sets what the tokens of each range count in the mean.
    ///
    /// ```
    /// use conceptrol_core::Concept;
    /// // "dog" at token 4 counts four times what "shaggy" at token 2 does
    /// let concept = Concept::new("dog", [vec![4..5, 2..3]]).weights([vec![0.8, 0.2]]);
    /// ```
    pub fn weights(mut self, weights: impl IntoIterator<Item = Vec<f32>>) -> Self {
        self.weights = weights.into_iter().collect();
        self
    }

    /// Sets the reference tokens.
    pub fn reference(mut self, reference: ReferenceTokens) -> Self {
        self.reference = Some(reference);
        self
    }

    /// Sets whether a reference picture stands behind it.
    pub const fn conditioned(mut self, conditioned: bool) -> Self {
        self.conditioned = conditioned;
        self
    }

    /// Sets the factor on the strength of the condition.
    pub const fn scale(mut self, scale: f32) -> Self {
        self.scale = scale;
        self
    }

    /// Sets the user's mask.
    pub fn mask(mut self, mask: ConceptMask) -> Self {
        self.mask = Some(mask);
        self
    }

    /// Sets how the user's mask and the one read from attention go together.
    pub const fn mask_role(mut self, role: MaskRole) -> Self {
        self.mask_role = role;
        self
    }

    /// Whether its own mask says alone where it acts: it takes the place of what attention says, or there are no words to read.
    pub(crate) fn uses_own_mask_alone(&self) -> bool {
        self.mask.is_some() && (self.mask_role == MaskRole::Instead || self.spans.is_empty())
    }

    /// The first text position after all of its tokens.
    pub fn end(&self) -> usize {
        self.spans
            .iter()
            .flatten()
            .map(|span| span.end)
            .max()
            .unwrap_or(0)
    }

    /// The weight of every text token in the mean over the concept's tokens,
    /// `[images, text_len]`; each row sums to 1. What lies beyond the text counts for nothing.
    pub(crate) fn token_weights(
        &self,
        images: usize,
        text_len: usize,
        device: &Device,
        dtype: DType,
    ) -> Tensor<2> {
        let data = TensorData::new(self.per_token(images, text_len, true), [images, text_len]);
        Tensor::from_data(data, (device, dtype))
    }

    /// 1 at the concept's text tokens, 0 elsewhere, `[images, text_len]`.
    pub(crate) fn token_indicator(
        &self,
        images: usize,
        text_len: usize,
        device: &Device,
        dtype: DType,
    ) -> Tensor<2> {
        let data = TensorData::new(self.per_token(images, text_len, false), [images, text_len]);
        Tensor::from_data(data, (device, dtype))
    }

    fn per_token(&self, images: usize, text_len: usize, mean: bool) -> Vec<f32> {
        let mut weights = vec![0.0_f32; images * text_len];
        for (image, row) in weights.chunks_exact_mut(text_len).enumerate() {
            let counts = of_image(&self.weights, image);
            for (index, span) in of_image(&self.spans, image).iter().enumerate() {
                if let Some(words) = row.get_mut(span.clone()) {
                    let count = counts.get(index).filter(|_| mean);
                    words.fill(count.copied().unwrap_or(1.0));
                }
            }
            let sum: f32 = row.iter().sum();
            if mean && sum > 0.0 {
                row.iter_mut().for_each(|weight| *weight /= sum);
            }
        }
        weights
    }

    /// What a session requires of a concept.
    pub(crate) fn check(&self, batch: BatchLayout) -> Result<(), InstallError> {
        let bad = |reason: String| {
            Err(InstallError::BadConcept {
                concept: self.name.clone(),
                reason,
            })
        };
        if self.spans.len() > 1 && self.spans.len() != batch.images {
            return bad(format!(
                "spans for {} pictures, the batch has {}",
                self.spans.len(),
                batch.images
            ));
        }
        if self
            .spans
            .iter()
            .any(|spans| spans.iter().all(|span| span.is_empty()))
        {
            return bad("it has no tokens".into());
        }
        let entries = |entries: usize, of: usize| format!("{entries} entries of weights for {of}");
        if !self.weights.is_empty() {
            let (weights, spans) = (&self.weights, &self.spans);
            let pairs = || weights.iter().zip(spans).map(|(w, s)| (w.len(), s.len()));
            if weights.len() != spans.len() {
                return bad(entries(weights.len(), spans.len()));
            }
            if let Some((weights, spans)) = pairs().find(|(weights, spans)| weights != spans) {
                return bad(entries(weights, spans));
            }
            let is_weight = |weight: &f32| weight.is_finite() && *weight > 0.0;
            if let Some(weight) = weights.iter().flatten().find(|weight| !is_weight(weight)) {
                return bad(format!("weight {weight} is no finite number above 0"));
            }
        }
        if let Some(span) = self.spans.iter().flatten().find(|s| s.start > s.end) {
            return bad(format!("its tokens {span:?} end before they begin"));
        }
        if !self.scale.is_finite() {
            return bad(format!("scale {} is not finite", self.scale));
        }
        if let Some(reference) = &self.reference {
            let [_, _, conditional] = reference.conditional.dims();
            let [_, _, unconditional] = reference.unconditional.dims();
            if conditional != unconditional {
                return bad(format!(
                    "reference tokens {conditional} wide, unconditional ones {unconditional}"
                ));
            }
            for tensor in [&reference.conditional, &reference.unconditional] {
                let [rows, ..] = tensor.dims();
                if rows != 1 && rows != batch.images {
                    return bad(format!(
                        "reference tokens for {rows} pictures, the batch has {}",
                        batch.images
                    ));
                }
            }
        }
        if let Some(mask) = &self.mask {
            let [rows, _] = mask.values().dims();
            if rows != 1 && rows != batch.images {
                return bad(format!(
                    "masks for {rows} pictures, the batch has {}",
                    batch.images
                ));
            }
        }
        Ok(())
    }
}

/// The entries of one picture, of those for each or one for all; none for a concept without words.
fn of_image<T>(entries: &[Vec<T>], image: usize) -> &[T] {
    let index = if entries.len() == 1 { 0 } else { image };
    entries.get(index).map_or(&[], Vec::as_slice)
}

impl ReferenceTokens {
    /// Tokens of the first installed adapter.
    pub const fn new(conditional: Tensor<3>, unconditional: Tensor<3>) -> Self {
        Self {
            adapter: 0,
            conditional,
            unconditional,
        }
    }

    /// Sets which of the installed adapters they belong to.
    pub const fn adapter(mut self, adapter: usize) -> Self {
        self.adapter = adapter;
        self
    }

    /// The tokens of every row of a batch, `[rows, tokens, context]`.
    pub fn rows(&self, batch: BatchLayout) -> Tensor<3> {
        let spread = |tokens: &Tensor<3>| {
            let [rows, ..] = tokens.dims();
            if rows == batch.images {
                tokens.clone()
            } else {
                tokens.clone().repeat_dim(0, batch.images)
            }
        };
        batch.by_role(&spread(&self.conditional), || spread(&self.unconditional))
    }
}
