//! Several layers as one.

use std::sync::Arc;

use burn::tensor::Tensor;

use crate::seam::{
    ArcProcessor, AttentionCall, AttentionContext, AttentionError, AttentionProcessor,
    AttentionSite, InstallError, Installation, ProcessorLayer, layered::named,
};

/// Two layers as one; the outer one sees a call first.
#[derive(Debug, Clone)]
pub struct Stack<Outer, Inner> {
    outer: Outer,
    inner: Inner,
}

impl<Outer, Inner> Stack<Outer, Inner> {
    /// `outer` around `inner`.
    pub const fn new(outer: Outer, inner: Inner) -> Self {
        Self { outer, inner }
    }
}

impl<Outer: ProcessorLayer, Inner: ProcessorLayer> ProcessorLayer for Stack<Outer, Inner> {
    fn layer(
        &self,
        site: &AttentionSite,
        inner: ArcProcessor,
    ) -> Result<ArcProcessor, InstallError> {
        let processor = self.inner.layer(site, Arc::clone(&inner))?;
        let inner = named(Arc::clone(&processor), inner);
        let outer = self.outer.layer(site, Arc::clone(&inner))?;
        if Arc::ptr_eq(&outer, &inner) {
            return Ok(processor);
        }
        Ok(Arc::new(Stacked { outer, inner }))
    }

    fn check(&self, at: &Installation<'_>) -> Result<(), InstallError> {
        self.outer.check(at)?;
        self.inner.check(at)
    }
}

/// The outer processor of a [`Stack`], which shows the inner one. Whoever installs the stack gives it its name.
#[derive(Debug)]
struct Stacked {
    outer: ArcProcessor,
    inner: ArcProcessor,
}

impl AttentionProcessor for Stacked {
    fn attend(
        &self,
        call: AttentionCall,
        cx: &mut AttentionContext<'_>,
    ) -> Result<Tensor<4>, AttentionError> {
        self.outer.attend(call, cx)
    }

    fn describe(&self) -> String {
        self.outer.describe()
    }

    fn inner(&self) -> Option<&ArcProcessor> {
        self.outer.inner().or(Some(&self.inner))
    }
}
