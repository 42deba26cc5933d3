//! OminiControl's condition strength, and Conceptrol's gates, as a structured logit bias.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::{
    condition_bias::{ConditionBias, carried},
    site_scales::SiteScales,
};
use crate::seam::{
    ArcProcessor, AttentionCall, AttentionContext, AttentionError, AttentionProcessor,
    AttentionSite, InstallError, Installation, MaskError, ProcessorLayer, SiteKind, SiteSelector,
};

/// What the tokens of a reference picture see beside themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ReferenceSight {
    /// Everything: text, latents and the other references.
    #[default]
    All,
    /// Text and latents, but no other reference, as `OminiControl2` has it.
    NotEachOther,
    /// Themselves alone. If their noise level is the same at every step, so are their keys and values: `OminiControl2`'s
    /// independent conditions.
    Themselves,
}

/// Which text tokens see a reference that is gated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum TextSight {
    /// Those of its concept in the prompt; none of a negative prompt.
    #[default]
    Words,
    /// All, so that a gate of ones is none.
    All,
}

/// Installs the bias on reference pictures that are tokens of an MMDiT's sequence: beside the latents (OminiControl,
/// Kontext), or in the text stream (Redux).
///
/// With `c` the strength of a condition and `A` its gate, the logits of condition keys get
///
/// | query | gated (Conceptrol) | ungated (OminiControl) |
/// |---|---|---|
/// | latents | `ln c + ln A`, blocked where `A` is 0 | `ln c` |
/// | text of the concept | `ln c` | `ln c` |
/// | other text | blocked ([`TextSight`]) | `ln c` |
/// | other conditions | 0, or blocked ([`ReferenceSight`], and at strength 0) | the same |
///
/// and condition queries get `ln c` on latent keys, ungated also on text keys. The ranges of the conditions belong to the
/// [conditioned](crate::Concept::conditioned) concepts without [reference tokens](crate::Concept::reference) for another
/// adapter, in their order. The bias stays a few rows; no `s x s` matrix is built, and none at all where everything is 0.
///
/// # Source
///
/// Conceptrol (arXiv 2503.06568), equation 8; QY-H00/Conceptrol @5a63981
/// `omini_control/conceptrol.py`. What is exact at gates of 1 and 0 is derived in `docs/algorithm.md`.
#[derive(Debug, Clone, Default)]
pub struct JointConditionLayer {
    site_scales: SiteScales,
    sight: ReferenceSight,
    text: TextSight,
}

impl JointConditionLayer {
    /// The layer; the strength is the session's, times each concept's scale.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what references see.
    pub const fn references_see(mut self, sight: ReferenceSight) -> Self {
        self.sight = sight;
        self
    }

    /// Sets which text tokens see a gated reference.
    pub const fn seen_by(mut self, text: TextSight) -> Self {
        self.text = text;
        self
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
        Ok(Arc::new(JointCondition {
            scale: self.site_scales.at(site),
            sight: self.sight,
            text: self.text,
            inner,
        }))
    }

    fn check(&self, at: &Installation<'_>) -> Result<(), InstallError> {
        let joint = |site: &AttentionSite| site.kind == SiteKind::Joint;
        self.site_scales.check(at, "with joint attention", joint)
    }
}

#[derive(Debug)]
struct JointCondition {
    scale: f32,
    sight: ReferenceSight,
    text: TextSight,
    inner: ArcProcessor,
}

impl AttentionProcessor for JointCondition {
    fn attend(
        &self,
        mut call: AttentionCall,
        cx: &mut AttentionContext<'_>,
    ) -> Result<Tensor<4>, AttentionError> {
        let conditions = call.layout.conditions.len();
        let concepts = carried(cx.concepts).count();
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
        let own = |concept: usize| carried(cx.concepts).any(|(index, _)| index == concept);
        let gates = call.take_gates(|gate| own(gate.concept));
        let bias = ConditionBias {
            call: &call,
            gates: &gates,
            scale: self.scale,
            sight: self.sight,
            text: self.text,
            cx,
        }
        .build();
        if let Some(bias) = bias {
            call.add_bias(bias)?;
        }
        self.inner.attend(call, cx)
    }

    fn describe(&self) -> String {
        let mut options = Vec::new();
        match self.sight {
            ReferenceSight::All => {}
            ReferenceSight::NotEachOther => options.push("references apart"),
            ReferenceSight::Themselves => options.push("references alone"),
        }
        if self.text == TextSight::All {
            options.push("seen by all text");
        }
        match options.is_empty() {
            true => "JointCondition".into(),
            false => format!("JointCondition({})", options.join(", ")),
        }
    }
}
