//! Recording where concepts act.

use std::sync::Arc;

use burn::tensor::Tensor;

use crate::seam::{
    ArcProcessor, AttentionCall, AttentionContext, AttentionError, AttentionProcessor,
    AttentionSite, Capture, InstallError, Probe, ProcessorLayer, StepWindow,
};

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
        if !site.kind.sees_text() {
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
                let map = probe.concept_map(definition)?;
                cx.captures.push(Capture::new(concept, map));
            }
        }
        self.inner.attend(call, cx)
    }

    fn describe(&self) -> String {
        format!("Capture({})", self.window)
    }
}
