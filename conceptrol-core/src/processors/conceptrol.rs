//! Conceptrol: asks a mask source where each concept acts, and gates its image condition there.

use std::sync::Arc;

use burn::tensor::Tensor;

use crate::{
    mask::{ConceptMaskSource, MaskQuery, ask},
    seam::{
        ArcProcessor, AttentionCall, AttentionContext, AttentionError, AttentionProcessor,
        AttentionSite, Gate, InstallError, Installation, MaskError, Probe, ProcessorLayer,
    },
};

/// Installs Conceptrol in front of an adapter.
///
/// At every site it asks the source for the mask of each concept and attaches it to the call as
/// a [`Gate`]; the adapter below applies it. One layer serves both families: an
/// [`IpAdapterLayer`](super::IpAdapterLayer) multiplies its branch by the mask, a
/// [`JointConditionLayer`](super::JointConditionLayer) turns it into a structured logit bias.
///
/// # Source
///
/// Conceptrol (arXiv 2503.06568), equations 5 to 8.
#[derive(Debug, Clone)]
pub struct ConceptrolLayer<S> {
    source: Arc<S>,
    gates: bool,
}

impl<S: ConceptMaskSource> ConceptrolLayer<S> {
    /// Gates with the masks of `source`.
    pub fn new(source: S) -> Self {
        Self {
            source: Arc::new(source),
            gates: true,
        }
    }

    /// Asks `source` for masks, so that it publishes them for [adaptations](crate::Adaptation), and gates nothing.
    pub fn watching(source: S) -> Self {
        Self {
            gates: false,
            ..Self::new(source)
        }
    }
}

impl<S: ConceptMaskSource + 'static> ProcessorLayer for ConceptrolLayer<S> {
    fn layer(
        &self,
        site: &AttentionSite,
        inner: ArcProcessor,
    ) -> Result<ArcProcessor, InstallError> {
        if !site.kind.sees_text() {
            return Err(InstallError::WrongKind {
                site: site.name.clone(),
                kind: site.kind.as_str(),
                layer: "Conceptrol",
                serves: "cross- and joint-attention",
            });
        }
        Ok(Arc::new(Conceptrol {
            source: Arc::clone(&self.source),
            gates: self.gates,
            inner,
        }))
    }

    fn check(&self, at: &Installation<'_>) -> Result<(), InstallError> {
        self.source.check(at)
    }
}

#[derive(Debug)]
struct Conceptrol<S> {
    source: Arc<S>,
    gates: bool,
    inner: ArcProcessor,
}

impl<S: ConceptMaskSource> AttentionProcessor for Conceptrol<S> {
    fn attend(
        &self,
        mut call: AttentionCall,
        cx: &mut AttentionContext<'_>,
    ) -> Result<Tensor<4>, AttentionError> {
        let gates = self.gates(&call, cx)?;
        gates.into_iter().for_each(|gate| call.push_gate(gate));
        self.inner.attend(call, cx)
    }

    fn describe(&self) -> String {
        let name = if self.gates { "Conceptrol" } else { "Watch" };
        format!("{name}({})", self.source.describe())
    }
}

impl<S: ConceptMaskSource> Conceptrol<S> {
    fn gates(
        &self,
        call: &AttentionCall,
        cx: &mut AttentionContext<'_>,
    ) -> Result<Vec<Gate>, MaskError> {
        // built from the fields, so that the board can be borrowed beside it
        let probe = Probe::new(cx.site, cx.step, cx.batch, call);
        let mut gates = Vec::with_capacity(cx.concepts.len());
        for (index, concept) in cx.concepts.iter().enumerate() {
            let query = MaskQuery::new(index, concept, &probe).among(cx.concepts);
            let mask = ask(&*self.source, &query, cx.board)?;
            if let Some(mask) = mask.filter(|_| self.gates && concept.conditioned) {
                let mask = query.fitting(mask)?;
                gates.push(Gate::new(index, mask.values().clone()));
            }
        }
        Ok(gates)
    }
}
