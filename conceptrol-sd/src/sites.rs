//! Attention sites of a U-Net, named and ordered as in diffusers.

use conceptrol_core::{AttentionSite, AttentionSites, SiteKind};

use crate::config::{TransformerConfig, UNetConfig};

/// All attention sites of the model `config` describes.
///
/// They are executed in the order down blocks, middle, up blocks. diffusers registers the middle last, and
/// IP-Adapter files number their weights in that order.
///
/// ```
/// use conceptrol_sd::{config::UNetConfig, sites::attention_sites};
///
/// let sites = attention_sites(&UNetConfig::sd15());
/// let concept = sites.registration_order().nth(13).unwrap();
/// assert_eq!(concept.name, "up_blocks.1.attentions.0.transformer_blocks.0.attn2");
/// assert_eq!((concept.heads, concept.head_dim, concept.downsample), (8, 160, 4));
/// ```
pub fn attention_sites(config: &UNetConfig) -> AttentionSites {
    let down: Vec<AttentionSite> = (config.down.iter().enumerate())
        .flat_map(|(index, block)| {
            let path = format!("down_blocks.{index}");
            block_sites(&path, block.transformer.as_ref(), block.downsample)
        })
        .collect();
    let mid: Vec<AttentionSite> = (config.mid.iter())
        .flat_map(|block| block_sites("mid_block", block.transformer.as_ref(), block.downsample))
        .collect();
    let up: Vec<AttentionSite> = (config.up.iter().enumerate())
        .flat_map(|(index, block)| {
            let path = format!("up_blocks.{index}");
            block_sites(&path, block.transformer.as_ref(), block.downsample)
        })
        .collect();

    let registered: Vec<String> = (down.iter().chain(&up).chain(&mid))
        .map(|site| site.name.clone())
        .collect();
    AttentionSites::new(down.into_iter().chain(mid).chain(up)).with_registration_order(registered)
}

/// Sites of one block: two for every transformer block, in the order they are executed.
fn block_sites(
    path: &str,
    config: Option<&TransformerConfig>,
    downsample: usize,
) -> Vec<AttentionSite> {
    let mut sites = Vec::new();
    let Some(config) = config else {
        return sites;
    };
    let first = if config.only_cross_attention {
        SiteKind::CrossAttention
    } else {
        SiteKind::SelfAttention
    };
    for (attention, &depth) in config.depths.iter().enumerate() {
        for block in 0..depth {
            for (name, kind) in [("attn1", first), ("attn2", SiteKind::CrossAttention)] {
                sites.push(AttentionSite::new(
                    format!("{path}.attentions.{attention}.transformer_blocks.{block}.{name}"),
                    kind,
                    config.heads,
                    config.head_dim,
                    downsample,
                ));
            }
        }
    }
    sites
}
