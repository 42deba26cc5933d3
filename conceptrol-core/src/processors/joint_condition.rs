//! OminiControl's condition strength, and Conceptrol's gates, as a structured logit bias.

use std::sync::Arc;

use burn::tensor::{DType, Tensor};

use super::site_scales::SiteScales;
use crate::{
    concept::Concept,
    kernel::LogitBias,
    seam::{
        ArcProcessor, AttentionCall, AttentionContext, AttentionError, AttentionProcessor,
        AttentionSite, Gate, InstallError, Installation, MaskError, ProcessorLayer, SiteKind,
        SiteSelector,
    },
};

/// The smallest mask value whose logarithm is taken; below it a condition does not act anyway.
const MASK_FLOOR: f32 = 1e-30;

/// Installs the condition bias of an MMDiT whose sequence is `[text | latents | condition ...]`.
///
/// With `c` the strength of a condition and `A` its gate, the logits of condition keys get
///
/// | query | gated (Conceptrol) | ungated (OminiControl) |
/// |---|---|---|
/// | latents | `ln c + ln A` | `ln c` |
/// | text of the concept | `ln c` | `ln c` |
/// | other text | blocked | `ln c` |
///
/// and condition queries get `ln c` on latent keys, ungated also on text keys. The ranges of the
/// conditions belong to the [conditioned](Concept::conditioned) concepts, in their order. The bias stays a few rows; no `s x s` matrix is built.
///
/// # Source
///
/// Conceptrol (arXiv 2503.06568), equation 8; QY-H00/Conceptrol @5a63981
/// `omini_control/conceptrol.py`.
#[derive(Debug, Clone, Default)]
pub struct JointConditionLayer {
    site_scales: SiteScales,
}

impl JointConditionLayer {
    /// The layer; the strength is the session's, times each concept's scale.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a factor on the strength at some sites; sites that no selector names keep 1, the last one that names a site
    /// wins.
    pub fn site_scale(mut self, sites: SiteSelector, scale: f32) -> Self {
        self.site_scales.push(sites, scale);
        self
    }
}

impl ProcessorLayer for JointConditionLayer {
    fn layer(
        &self,
        site: &AttentionSite,
        inner: ArcProcessor,
    ) -> Result<ArcProcessor, InstallError> {
        if site.kind != SiteKind::Joint {
            return Err(InstallError::WrongKind {
                site: site.name.clone(),
                kind: site.kind.as_str(),
                layer: "JointCondition",
                serves: "joint-attention",
            });
        }
        let scale = self.site_scales.at(site);
        Ok(Arc::new(JointCondition { scale, inner }))
    }

    fn check(&self, at: &Installation<'_>) -> Result<(), InstallError> {
        let joint = |site: &AttentionSite| site.kind == SiteKind::Joint;
        self.site_scales.check(at, "with joint attention", joint)
    }
}

#[derive(Debug)]
struct JointCondition {
    scale: f32,
    inner: ArcProcessor,
}

impl AttentionProcessor for JointCondition {
    fn attend(
        &self,
        mut call: AttentionCall,
        cx: &mut AttentionContext<'_>,
    ) -> Result<Tensor<4>, AttentionError> {
        let conditions = call.layout.conditions.len();
        let concepts = conditioned(cx.concepts).count();
        if conditions != concepts {
            return Err(AttentionError::ConditionCount {
                conditions,
                concepts,
            });
        }
        let text_len = call.layout.text_len();
        if let Some(concept) = cx.concepts.iter().find(|concept| concept.end() > text_len) {
            return Err(AttentionError::Mask(MaskError::BeyondText {
                concept: concept.name.clone(),
                end: concept.end(),
                text_len,
            }));
        }
        let gates = call.take_gates(|_| true);
        if conditions > 0 {
            let bias = condition_bias(&call, &gates, self.scale, cx);
            call.add_bias(bias)?;
        }
        self.inner.attend(call, cx)
    }

    fn describe(&self) -> String {
        "JointCondition".into()
    }
}

/// The concepts a reference picture stands behind, with their index in the session.
fn conditioned(concepts: &[Concept]) -> impl Iterator<Item = (usize, &Concept)> {
    let numbered = concepts.iter().enumerate();
    numbered.filter(|(_, concept)| concept.conditioned)
}

/// The bias of all conditions: one term for the keys of each condition, one for the latent keys,
/// and one for the text keys if any condition is ungated.
fn condition_bias(
    call: &AttentionCall,
    gates: &[Gate],
    scale: f32,
    cx: &AttentionContext<'_>,
) -> LogitBias {
    let parts = Parts {
        call,
        rows: cx.batch.rows(),
    };
    let strength = |concept: &Concept| log_strength(cx.condition_strength * concept.scale * scale);
    let gate = |index: usize| gates.iter().find(|gate| gate.concept == index);
    let concepts: Vec<(usize, &Concept)> = conditioned(cx.concepts).collect();

    let mut keys = Vec::new();
    let mut terms = Vec::new();
    for ((index, concept), condition) in concepts.iter().zip(&call.layout.conditions) {
        let c = strength(concept);
        let (text, latents) = match gate(*index) {
            Some(gate) => (
                parts.concept_text(concept, c, cx),
                parts.gated_latents(gate, c),
            ),
            None => (parts.text(c), parts.latents(c)),
        };
        keys.push(condition.range.clone());
        terms.push(parts.term(text, latents, |_| 0.0));
    }

    // by the number of the condition
    let of_conditions = |number: usize| strength(concepts[number].1);
    keys.push(call.layout.latents.range.clone());
    terms.push(parts.term(parts.text(0.0), parts.latents(0.0), of_conditions));
    if let Some(text) = call
        .layout
        .text
        .clone()
        .filter(|_| gates.len() < concepts.len())
    {
        let of_ungated = |number: usize| {
            if gate(concepts[number].0).is_some() {
                0.0
            } else {
                of_conditions(number)
            }
        };
        keys.push(text);
        terms.push(parts.term(parts.text(0.0), parts.latents(0.0), of_ungated));
    }
    LogitBias::new(keys, Tensor::cat(terms, 1))
}

/// `ln c`, blocked for a strength of 0.
fn log_strength(c: f32) -> f32 {
    if c > 0.0 {
        c.ln().max(LogitBias::BLOCKED)
    } else {
        LogitBias::BLOCKED
    }
}

/// Builds the query rows of a term from its parts, in f32.
struct Parts<'a> {
    call: &'a AttentionCall,
    rows: usize,
}

impl Parts<'_> {
    fn full(&self, len: usize, value: f32) -> Tensor<2> {
        Tensor::full(
            [self.rows, len],
            value,
            (&self.call.query.device(), DType::F32),
        )
    }

    fn text(&self, value: f32) -> Tensor<2> {
        self.full(self.call.layout.text_len(), value)
    }

    fn latents(&self, value: f32) -> Tensor<2> {
        self.full(self.call.layout.latents.range.len(), value)
    }

    /// `c` at the concept's words, blocked at all others, and at all of the unconditional rows, whose words are others.
    fn concept_text(&self, concept: &Concept, c: f32, cx: &AttentionContext<'_>) -> Tensor<2> {
        let text_len = self.call.layout.text_len();
        let device = self.call.query.device();
        let words = concept.token_indicator(cx.batch.images, text_len, &device, DType::F32);
        let words = cx.batch.by_role(&words, || words.zeros_like());
        let others = words.clone().neg() + 1.0;
        // two products: `words * (c - BLOCKED) + BLOCKED` would round `c` away
        let bias = words * c + others * LogitBias::BLOCKED;
        self.spread(bias)
    }

    fn gated_latents(&self, gate: &Gate, c: f32) -> Tensor<2> {
        self.spread(
            gate.mask
                .clone()
                .cast(DType::F32)
                .clamp_min(MASK_FLOOR)
                .log()
                + c,
        )
    }

    /// One row, or one a picture, for every row of the batch.
    fn spread(&self, x: Tensor<2>) -> Tensor<2> {
        let [rows, _] = x.dims();
        x.repeat_dim(0, self.rows / rows)
    }

    /// `[rows, 1, q_len]` in sequence order.
    fn term(
        &self,
        text: Tensor<2>,
        latents: Tensor<2>,
        condition: impl Fn(usize) -> f32,
    ) -> Tensor<3> {
        let conditions = self.call.layout.conditions.iter().enumerate();
        let mut parts = vec![text, latents];
        parts.extend(conditions.map(|(index, part)| self.full(part.range.len(), condition(index))));
        Tensor::cat(parts, 1).unsqueeze_dim(1)
    }
}
