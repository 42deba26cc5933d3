use burn::tensor::Tensor;

use super::{
    IpProjection,
    branch::{Rows, add_to_rows, gated, ungated, weighted},
};
use crate::{
    concept::{Concept, ReferenceTokens},
    kernel,
    seam::{
        ArcProcessor, AttentionCall, AttentionContext, AttentionError, AttentionProcessor,
        CacheKey, Projected,
    },
};

/// An adapter at one site.
#[derive(Debug)]
pub(super) struct IpAdapter {
    /// `None` where it has no weights.
    pub(super) projection: Option<IpProjection>,
    pub(super) scale: f32,
    pub(super) adapter: usize,
    pub(super) after_block: bool,
    pub(super) inner: ArcProcessor,
}

impl AttentionProcessor for IpAdapter {
    fn attend(
        &self,
        mut call: AttentionCall,
        cx: &mut AttentionContext<'_>,
    ) -> Result<Tensor<4>, AttentionError> {
        check_references(&call, cx.concepts)?;
        let concepts = cx.concepts;
        let serves = |concept: usize| {
            let concept = concepts.get(concept);
            concept
                .and_then(|concept| self.reference(concept))
                .is_some()
        };
        let gates = call.take_gates(|gate| serves(gate.concept));
        let Some(projection) = &self.projection else {
            return self.inner.attend(call, cx);
        };
        let rows = Rows::of(&call.layout, projection.text_rows);
        let query = rows.of_queries(call.unrotated_query());
        let mut out = self.inner.attend(call, cx)?;
        for (index, concept) in concepts.iter().enumerate() {
            let scale = self.scale * cx.condition_strength * concept.scale;
            let Some(reference) = self.reference(concept).filter(|_| scale != 0.0) else {
                continue;
            };
            let branch = self.branch(projection, query.clone(), index, reference, cx)?; // [rows, heads, q, d]
            let gate = gates.iter().find(|gate| gate.concept == index);
            let weights = match gate {
                Some(gate) => gated(gate, &rows, cx.batch, scale),
                None => ungated(&branch, scale),
            };
            if self.after_block {
                let term = rows.latents(weighted(branch, weights));
                cx.block_end.add(cx.site.id, merge_heads(term));
            } else {
                out = add_to_rows(out, branch, weights, &rows);
            }
        }
        Ok(out)
    }

    fn describe(&self) -> String {
        if self.projection.is_none() {
            return "IpAdapter(no weights)".into();
        }
        let place = if self.after_block {
            ", after the block"
        } else {
            ""
        };
        match self.adapter {
            0 => format!("IpAdapter(scale {}{place})", self.scale),
            adapter => format!("IpAdapter({adapter}, scale {}{place})", self.scale),
        }
    }
}

impl IpAdapter {
    /// What it made of a concept's picture, if it is the one that carries it.
    fn reference<'c>(&self, concept: &'c Concept) -> Option<&'c ReferenceTokens> {
        let reference = concept.reference.as_ref();
        reference.filter(|reference| reference.adapter == self.adapter)
    }

    fn branch(
        &self,
        projection: &IpProjection,
        query: Tensor<4>,
        concept: usize,
        reference: &ReferenceTokens,
        cx: &mut AttentionContext<'_>,
    ) -> Result<Tensor<4>, AttentionError> {
        let [_, _, found] = reference.conditional.dims();
        let [_, expected] = projection.key.dims();
        if found != expected {
            return Err(AttentionError::WrongReference { found, expected });
        }
        let (batch, heads) = (cx.batch, cx.site.heads);
        let key = CacheKey::new(cx.site.id, Projected::Reference(concept));
        let project = || projection.project(&reference.rows(batch), heads);
        let (key, value) = cx.cache.get_or_project(key, project);
        Ok(kernel::attention(query, key, value, None))
    }
}

/// That every gate is of a concept with a picture.
fn check_references(call: &AttentionCall, concepts: &[Concept]) -> Result<(), AttentionError> {
    let has_none = |concept: usize| {
        let concept = concepts.get(concept);
        concept.is_none_or(|concept| concept.reference.is_none())
    };
    match call.gates().iter().find(|gate| has_none(gate.concept)) {
        None => Ok(()),
        Some(gate) => {
            let concept = concepts.get(gate.concept);
            let concept = concept.map_or_else(String::new, |concept| concept.name.clone());
            Err(AttentionError::NoReference { concept })
        }
    }
}

/// `[rows, heads, tokens, d]` to `[rows, tokens, heads * d]`.
fn merge_heads(x: Tensor<4>) -> Tensor<3> {
    let [rows, heads, tokens, head_dim] = x.dims();
    x.swap_dims(1, 2).reshape([rows, tokens, heads * head_dim])
}
