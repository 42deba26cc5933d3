//! The attention sites of a FLUX transformer.

use conceptrol_core::{AttentionSite, AttentionSites, SiteKind};

use crate::config::FluxConfig;

/// The sites of a transformer of this size, in execution and registration order: one per double block
/// (`transformer_blocks.N.attn`), then one per single block (`single_transformer_blocks.N.attn`).
///
/// ```
/// use conceptrol_flux::{FluxConfig, attention_sites};
///
/// let sites = attention_sites(&FluxConfig::schnell());
/// assert_eq!(sites.len(), 57);
/// let concept_block = sites.site("transformer_blocks.18.attn").expect("the last double block");
/// assert_eq!(concept_block.id.index(), 18);
/// ```
pub fn attention_sites(config: &FluxConfig) -> AttentionSites {
    let joint = |name: String| {
        AttentionSite::new(
            name,
            SiteKind::Joint,
            config.num_attention_heads,
            config.attention_head_dim,
            1,
        )
        .with_block_end()
    };
    let double =
        (0..config.num_layers).map(|index| joint(format!("transformer_blocks.{index}.attn")));
    let single = (0..config.num_single_layers)
        .map(|index| joint(format!("single_transformer_blocks.{index}.attn")));
    AttentionSites::new(double.chain(single))
}
