//! The concept block of a transformer.

use conceptrol_core::{SiteSelector, mask::ConceptBlock, pipeline::Fidelity};

use crate::config::FluxConfig;
use crate::sites::attention_sites;

/// The concept block of a transformer of this size: its last double block, `transformer_blocks.18` of FLUX.1.
///
/// With [`Fidelity::Authors`] also the single blocks at which the authors' counter, which runs modulo the number of double
/// blocks, comes round: 18 and 37 of FLUX.1.
pub fn concept_block(config: &FluxConfig, fidelity: Fidelity) -> ConceptBlock {
    let selector = concept_sites(config, fidelity);
    ConceptBlock::joint(selector)
}

/// Where masks are read.
pub(super) fn concept_sites(config: &FluxConfig, fidelity: Fidelity) -> SiteSelector {
    let double = config.num_layers;
    let sites = attention_sites(config);
    let refreshing = sites.iter().filter(|site| match fidelity {
        Fidelity::Paper => site.id.index() + 1 == double,
        Fidelity::Authors => (site.id.index() + 1).is_multiple_of(double),
    });
    let named = refreshing.map(|site| SiteSelector::named(site.name.clone()));
    named
        .reduce(SiteSelector::or)
        .unwrap_or_else(SiteSelector::all)
}
