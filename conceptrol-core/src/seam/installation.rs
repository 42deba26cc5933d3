//! Where a layer is put.

use crate::seam::{AttentionSite, AttentionSites, InstallError, SiteSelector};

/// The model and the sites of it that a layer, and what the layer asks, are installed on.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Installation<'a> {
    /// All sites of the model.
    pub sites: &'a AttentionSites,
    selector: Option<&'a SiteSelector>,
}

impl<'a> Installation<'a> {
    /// On the sites that `selector` picks.
    pub const fn on(sites: &'a AttentionSites, selector: &'a SiteSelector) -> Self {
        Self {
            sites,
            selector: Some(selector),
        }
    }

    /// On every site.
    pub const fn everywhere(sites: &'a AttentionSites) -> Self {
        Self {
            sites,
            selector: None,
        }
    }

    /// Whether the layer is put on this site.
    pub fn covers(&self, site: &AttentionSite) -> bool {
        self.selector.is_none_or(|selector| selector.matches(site))
    }

    /// The sites of `selector` at which a textual map can be read: those that see words and that the layer is put on.
    ///
    /// ```
    /// use conceptrol_core::{AttentionSite, AttentionSites, Installation, SiteKind, SiteSelector};
    ///
    /// let sites = AttentionSites::new([
    ///     AttentionSite::new("mid.attn1", SiteKind::SelfAttention, 8, 40, 1),
    ///     AttentionSite::new("mid.attn2", SiteKind::CrossAttention, 8, 40, 1),
    /// ]);
    /// let at = Installation::everywhere(&sites);
    /// assert_eq!(at.resolve_readable(&SiteSelector::under("mid"))?.len(), 1);
    /// let error = at.resolve_readable(&SiteSelector::named("mid.attn1")).unwrap_err();
    /// assert_eq!(error.to_string(), "mid.attn1 is a self-attention site, not one that sees words; such are: mid.attn2");
    /// # Ok::<(), conceptrol_core::InstallError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InstallError::UnknownSite`] for a name or prefix that the model does not have, [`InstallError::Unserved`] for one
    /// without a readable site.
    pub fn resolve_readable(
        &self,
        selector: &SiteSelector,
    ) -> Result<Vec<&'a AttentionSite>, InstallError> {
        selector.resolve_where(self.sites, "that sees words", |site| site.kind.sees_text())?;
        selector.resolve_where(self.sites, "that sees words and has the layer", |site| {
            site.kind.sees_text() && self.covers(site)
        })
    }
}
