//! A layer that acts in a part of the generation only.

use std::sync::Arc;

use burn::tensor::Tensor;

use crate::seam::{
    ArcProcessor, AttentionCall, AttentionContext, AttentionError, AttentionProcessor,
    AttentionSite, InstallError, Installation, ProcessorLayer, StepWindow, install, stack,
};

/// Installs a layer that is bypassed outside a window of steps.
///
/// Not for the warm-up of an adapter: that is the session's
/// [`ConditionSchedule`](crate::ConditionSchedule), which goes on reading masks.
#[derive(Debug, Clone)]
pub struct ScheduledLayer<L> {
    window: StepWindow,
    layer: L,
}

impl<L: ProcessorLayer> ScheduledLayer<L> {
    /// `layer` within `window`, what is below it outside.
    pub const fn new(window: StepWindow, layer: L) -> Self {
        Self { window, layer }
    }
}

impl<L: ProcessorLayer> ProcessorLayer for ScheduledLayer<L> {
    fn layer(
        &self,
        site: &AttentionSite,
        inner: ArcProcessor,
    ) -> Result<ArcProcessor, InstallError> {
        let within = install(&self.layer, site, Arc::clone(&inner))?;
        Ok(Arc::new(Scheduled {
            window: self.window,
            within,
            outside: inner,
        }))
    }

    fn check(&self, at: &Installation<'_>) -> Result<(), InstallError> {
        self.layer.check(at)
    }
}

#[derive(Debug)]
struct Scheduled {
    window: StepWindow,
    within: ArcProcessor,
    outside: ArcProcessor,
}

impl AttentionProcessor for Scheduled {
    fn attend(
        &self,
        call: AttentionCall,
        cx: &mut AttentionContext<'_>,
    ) -> Result<Tensor<4>, AttentionError> {
        let active = self.window.contains(cx.step.index, cx.step.total);
        let processor = if active { &self.within } else { &self.outside };
        processor.attend(call, cx)
    }

    fn describe(&self) -> String {
        let mut within = stack(&self.within);
        within.truncate(within.len() - stack(&self.outside).len());
        format!("Scheduled({}: {})", self.window, within.join(" > "))
    }
}
