//! Ready-made plans for the three ways to use FLUX.

use conceptrol_core::processors::{ConceptrolLayer, JointConditionLayer};
use conceptrol_core::{AttentionPlan, InstallError, SiteSelector};
use conceptrol_core::{mask::ConceptBlock, pipeline::Fidelity};

use crate::config::FluxConfig;
use crate::sites::attention_sites;

/// The concept block of a transformer of this size: its last double block, `transformer_blocks.18` of FLUX.1.
///
/// With [`Fidelity::Authors`] also the single blocks at which the authors' counter, which runs modulo the number of double
/// blocks, comes round: 18 and 37 of FLUX.1.
pub fn concept_block(config: &FluxConfig, fidelity: Fidelity) -> ConceptBlock {
    let double = config.num_layers;
    let sites = attention_sites(config);
    let refreshing = sites.iter().filter(|site| match fidelity {
        Fidelity::Paper => site.id.index() + 1 == double,
        Fidelity::Authors => (site.id.index() + 1).is_multiple_of(double),
    });
    let named = refreshing.map(|site| SiteSelector::named(site.name.clone()));
    let selector = named
        .reduce(SiteSelector::or)
        .unwrap_or_else(SiteSelector::all);
    ConceptBlock::joint(selector)
}

/// Conceptrol over OminiControl: every reference picture acts where its words act.
///
/// # Errors
/// None for a valid configuration.
pub fn conceptrol_plan(
    config: &FluxConfig,
    fidelity: Fidelity,
) -> Result<AttentionPlan, InstallError> {
    conceptrol_plan_at(config, concept_block(config, fidelity))
}

/// Conceptrol over OminiControl with masks of another block, such as
/// `ConceptBlock::joint(SiteSelector::named("transformer_blocks.17.attn"))`.
///
/// # Errors
/// [`InstallError`] if the block selects no site of the model.
pub fn conceptrol_plan_at(
    config: &FluxConfig,
    block: ConceptBlock,
) -> Result<AttentionPlan, InstallError> {
    AttentionPlan::builder(&attention_sites(config))
        .layer(SiteSelector::joint(), ConceptrolLayer::new(block))
        .layer(SiteSelector::joint(), JointConditionLayer::new())
        .build()
}

/// OminiControl alone: every reference picture acts everywhere.
///
/// # Errors
/// None for a valid configuration.
pub fn ominicontrol_plan(config: &FluxConfig) -> Result<AttentionPlan, InstallError> {
    AttentionPlan::builder(&attention_sites(config))
        .layer(SiteSelector::joint(), JointConditionLayer::new())
        .build()
}
