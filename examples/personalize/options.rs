//! Options that mean the same in every family, but are built from its facts.

use conceptrol_core::{SiteKind, SiteSelector, mask::ConceptBlock, pipeline::Profile};

/// The concept block at a site, as masks are read there.
pub(crate) fn block_at(profile: &Profile, site: &str) -> ConceptBlock {
    let selector = SiteSelector::named(site);
    let joint = (profile.sites.iter()).any(|site| site.kind == SiteKind::Joint);
    if joint {
        ConceptBlock::joint(selector)
    } else {
        ConceptBlock::cross(selector)
    }
}
