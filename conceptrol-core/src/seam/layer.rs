//! Layers put processors around others.

use std::{fmt, sync::Arc};

use crate::seam::{ArcProcessor, AttentionProcessor, AttentionSite, InstallError, Installation};

/// Puts a processor around another at the sites that a selector picks.
pub trait ProcessorLayer: fmt::Debug {
    /// Wraps `inner`, the processor so far, at one site.
    ///
    /// # Errors
    ///
    /// When the layer cannot serve the site.
    fn layer(
        &self,
        site: &AttentionSite,
        inner: ArcProcessor,
    ) -> Result<ArcProcessor, InstallError>;

    /// Checks the layer against the model and the sites it is put on, before any site is wrapped.
    ///
    /// # Errors
    ///
    /// When the layer does not fit the model.
    fn check(&self, at: &Installation<'_>) -> Result<(), InstallError> {
        let _ = at;
        Ok(())
    }
}

impl<L: ProcessorLayer + ?Sized> ProcessorLayer for Box<L> {
    fn layer(
        &self,
        site: &AttentionSite,
        inner: ArcProcessor,
    ) -> Result<ArcProcessor, InstallError> {
        (**self).layer(site, inner)
    }

    fn check(&self, at: &Installation<'_>) -> Result<(), InstallError> {
        (**self).check(at)
    }
}

/// The layer that changes nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Identity;

impl ProcessorLayer for Identity {
    fn layer(
        &self,
        _site: &AttentionSite,
        inner: ArcProcessor,
    ) -> Result<ArcProcessor, InstallError> {
        Ok(inner)
    }
}

/// A layer from a closure, as `tower::layer_fn`.
pub fn layer_fn<F, P>(wrap: F) -> LayerFn<F>
where
    F: Fn(&AttentionSite, ArcProcessor) -> P,
    P: AttentionProcessor + 'static,
{
    LayerFn { wrap }
}

/// A layer from a closure; see [`layer_fn`].
#[derive(Clone)]
pub struct LayerFn<F> {
    wrap: F,
}

impl<F> fmt::Debug for LayerFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayerFn").finish_non_exhaustive()
    }
}

impl<F, P> ProcessorLayer for LayerFn<F>
where
    F: Fn(&AttentionSite, ArcProcessor) -> P,
    P: AttentionProcessor + 'static,
{
    fn layer(
        &self,
        site: &AttentionSite,
        inner: ArcProcessor,
    ) -> Result<ArcProcessor, InstallError> {
        Ok(Arc::new((self.wrap)(site, inner)))
    }
}
