//! Recording where concepts act, within a byte budget.

use std::sync::Arc;

use burn::tensor::Tensor;

use crate::{
    mask::ConceptMask,
    seam::{
        ArcProcessor, AttentionCall, AttentionContext, AttentionError, AttentionProcessor,
        AttentionSite, InstallError, Probe, ProcessorLayer, SiteKind, StepWindow,
    },
};

/// Bytes that captures may hold unless said otherwise: 256 MiB.
const DEFAULT_BUDGET: usize = 256 << 20;

/// The map of one concept at one call.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Capture {
    /// Index of the concept.
    pub concept: usize,
    /// The concept's textual map, not normalised; its stamp says site and step.
    pub map: ConceptMask,
}

/// What was captured during a session: tensors on the device, read back only by who looks.
#[derive(Debug)]
pub struct Captures {
    budget: usize,
    used: usize,
    dropped: usize,
    items: Vec<Capture>,
}

impl Default for Captures {
    fn default() -> Self {
        Self::with_budget(DEFAULT_BUDGET)
    }
}

impl Captures {
    /// Captures that hold at most `budget` bytes.
    pub const fn with_budget(budget: usize) -> Self {
        Self {
            budget,
            used: 0,
            dropped: 0,
            items: Vec::new(),
        }
    }

    /// Keeps a capture, or counts it as dropped when the budget is spent.
    pub fn push(&mut self, capture: Capture) {
        let values = capture.map.values();
        let bytes = values.shape().num_elements() * values.dtype().size();
        if self.used + bytes > self.budget {
            self.dropped += 1;
            return;
        }
        self.used += bytes;
        self.items.push(capture);
    }

    /// The captures in the order they were made.
    pub fn iter(&self) -> std::slice::Iter<'_, Capture> {
        self.items.iter()
    }

    /// Captures that did not fit the budget.
    pub const fn dropped(&self) -> usize {
        self.dropped
    }

    /// Bytes held.
    pub const fn bytes(&self) -> usize {
        self.used
    }
}

/// Records the textual map of every concept at the sites it is installed on.
#[derive(Debug, Clone, Copy)]
pub struct CaptureLayer {
    window: StepWindow,
}

impl CaptureLayer {
    /// Records at every step.
    pub const fn new() -> Self {
        Self {
            window: StepWindow::ALWAYS,
        }
    }

    /// Records within a part of the generation only.
    pub const fn within(window: StepWindow) -> Self {
        Self { window }
    }
}

impl Default for CaptureLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl ProcessorLayer for CaptureLayer {
    fn layer(
        &self,
        site: &AttentionSite,
        inner: ArcProcessor,
    ) -> Result<ArcProcessor, InstallError> {
        if site.kind == SiteKind::SelfAttention {
            return Err(InstallError::WrongKind {
                site: site.name.clone(),
                kind: site.kind.as_str(),
                layer: "Capture",
                serves: "cross- and joint-attention",
            });
        }
        Ok(Arc::new(CaptureMaps {
            window: self.window,
            inner,
        }))
    }
}

#[derive(Debug)]
struct CaptureMaps {
    window: StepWindow,
    inner: ArcProcessor,
}

impl AttentionProcessor for CaptureMaps {
    fn attend(
        &self,
        call: AttentionCall,
        cx: &mut AttentionContext<'_>,
    ) -> Result<Tensor<4>, AttentionError> {
        if self.window.contains(cx.step.index, cx.step.total) {
            let probe = Probe::new(cx.site, cx.step, cx.batch, &call);
            for (concept, definition) in cx.concepts.iter().enumerate() {
                let map = probe.concept_map(definition).map_err(|source| {
                    let site = cx.site.name.clone();
                    AttentionError::Mask { site, source }
                })?;
                cx.captures.push(Capture { concept, map });
            }
        }
        self.inner.attend(call, cx)
    }
}
