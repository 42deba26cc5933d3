//! Factors on the strength of an image condition at some sites.

use crate::seam::{AttentionSite, InstallError, Installation, SiteSelector};

/// Factors by site: sites that no selector names have 1, the last one that names a site wins.
#[derive(Debug, Clone, Default)]
pub(super) struct SiteScales(Vec<(SiteSelector, f32)>);

impl SiteScales {
    pub(super) fn push(&mut self, sites: SiteSelector, scale: f32) {
        self.0.push((sites, scale));
    }

    pub(super) fn at(&self, site: &AttentionSite) -> f32 {
        let last = self.0.iter().rev().find(|(sites, _)| sites.matches(site));
        last.map_or(1.0, |(_, scale)| *scale)
    }

    /// That every selector names a site the layer serves, and every factor is finite.
    pub(super) fn check(
        &self,
        at: &Installation<'_>,
        kind: &'static str,
        serves: impl Fn(&AttentionSite) -> bool,
    ) -> Result<(), InstallError> {
        for (selector, scale) in &self.0 {
            selector.resolve_where(at.sites, kind, |site| at.covers(site) && serves(site))?;
            check_scale("the scale of a site", *scale)?;
        }
        Ok(())
    }
}

pub(super) fn check_scale(name: &'static str, scale: f32) -> Result<(), InstallError> {
    if scale.is_finite() {
        return Ok(());
    }
    Err(InstallError::OutOfRange {
        name,
        value: f64::from(scale),
        expected: "finite",
    })
}
