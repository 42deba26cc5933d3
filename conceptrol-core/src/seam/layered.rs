//! A layer's processor as a plan installs it: errors that pass it learn its name.

use std::sync::Arc;

use burn::tensor::Tensor;

use crate::seam::{
    ArcProcessor, AttentionCall, AttentionContext, AttentionError, AttentionProcessor,
    AttentionSite, InstallError, ProcessorLayer,
};

/// Wraps `inner` by `layer` at a site.
pub(crate) fn install(
    layer: &dyn ProcessorLayer,
    site: &AttentionSite,
    inner: ArcProcessor,
) -> Result<ArcProcessor, InstallError> {
    let processor = layer.layer(site, Arc::clone(&inner))?;
    Ok(named(processor, inner))
}

/// The processor a layer has put around `inner`; `inner` itself where it has put none.
pub(crate) fn named(processor: ArcProcessor, inner: ArcProcessor) -> ArcProcessor {
    if Arc::ptr_eq(&processor, &inner) {
        return inner;
    }
    Arc::new(Layered { processor, inner })
}

/// What a call passes from the outside in, each in a few words.
pub(crate) fn stack(processor: &ArcProcessor) -> Vec<String> {
    let mut names = vec![processor.describe()];
    let mut inner = (**processor).inner();
    while let Some(processor) = inner {
        names.push(processor.describe());
        inner = (**processor).inner();
    }
    names
}

#[derive(Debug)]
struct Layered {
    processor: ArcProcessor,
    inner: ArcProcessor,
}

impl AttentionProcessor for Layered {
    fn attend(
        &self,
        call: AttentionCall,
        cx: &mut AttentionContext<'_>,
    ) -> Result<Tensor<4>, AttentionError> {
        let site = cx.site;
        self.processor
            .attend(call, cx)
            .map_err(|error| error.within(site, self.describe()))
    }

    fn describe(&self) -> String {
        self.processor.describe()
    }

    fn inner(&self) -> Option<&ArcProcessor> {
        self.processor.inner().or(Some(&self.inner))
    }
}
