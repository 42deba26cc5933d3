//! The attention sites of U-Nets, as adapter files number them.

use burn::tensor::Device;
use conceptrol_core::models::weights::Weights;
use conceptrol_core::{AttentionSite, AttentionSites, SiteKind};
use conceptrol_sd::adapter::{AdapterKind, IpAdapterWeights};

/// A part of a U-Net: its attention modules with their transformer blocks, and the channels.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) attentions: usize,
    pub(crate) blocks: usize,
    pub(crate) channels: usize,
}

pub(crate) const fn part(
    name: &'static str,
    attentions: usize,
    blocks: usize,
    channels: usize,
) -> Part {
    Part {
        name,
        attentions,
        blocks,
        channels,
    }
}

/// Sites of parts given in registration order (down, up, mid), with heads of `head_dim` channels.
pub(crate) fn sites(parts: &[Part], head_dim: usize) -> AttentionSites {
    let names = parts.iter().flat_map(|part| {
        (0..part.attentions).flat_map(move |attention| {
            (0..part.blocks).flat_map(move |block| {
                ["attn1", "attn2"].map(|attn| {
                    let name = format!(
                        "{}.attentions.{attention}.transformer_blocks.{block}.{attn}",
                        part.name
                    );
                    (name, part.channels)
                })
            })
        })
    });
    let site = |(name, channels): (String, usize)| {
        let kind = if name.ends_with("attn1") {
            SiteKind::SelfAttention
        } else {
            SiteKind::CrossAttention
        };
        AttentionSite::new(name, kind, channels / head_dim, head_dim, 1)
    };
    let registered: Vec<AttentionSite> = names.map(site).collect();
    // The middle is executed before the way up and registered last.
    let is_up = |site: &&AttentionSite| site.name.starts_with("up");
    let executed = registered
        .iter()
        .filter(|s| !is_up(s))
        .chain(registered.iter().filter(is_up));
    AttentionSites::new(executed.cloned())
        .with_registration_order(registered.iter().map(|site| &site.name))
}

pub(crate) fn tiny() -> AttentionSites {
    sites(
        &[
            part("down_blocks.0", 1, 1, 8),
            part("up_blocks.0", 1, 1, 8),
            part("mid_block", 1, 1, 8),
        ],
        4,
    )
}

pub(crate) fn sd15() -> AttentionSites {
    let parts = [
        part("down_blocks.0", 2, 1, 320),
        part("down_blocks.1", 2, 1, 640),
        part("down_blocks.2", 2, 1, 1280),
        part("up_blocks.1", 3, 1, 1280),
        part("up_blocks.2", 3, 1, 640),
        part("up_blocks.3", 3, 1, 320),
        part("mid_block", 1, 1, 1280),
    ];
    sites(&parts, 40)
}

pub(crate) fn sdxl() -> AttentionSites {
    let parts = [
        part("down_blocks.1", 2, 2, 640),
        part("down_blocks.2", 2, 10, 1280),
        part("up_blocks.0", 3, 10, 1280),
        part("up_blocks.1", 3, 2, 640),
        part("mid_block", 1, 10, 1280),
    ];
    sites(&parts, 64)
}

#[test]
fn the_concept_block_has_the_published_number() {
    let number = |sites: &AttentionSites, name: &str| {
        sites
            .registration_order()
            .position(|site| site.name == name)
    };
    let name = "up_blocks.1.attentions.0.transformer_blocks.0.attn2";
    assert_eq!(number(&sd15(), name), Some(13));
    let name = "up_blocks.0.attentions.1.transformer_blocks.3.attn2";
    assert_eq!(number(&sdxl(), name), Some(75));
}

#[test]
fn layers_are_named_after_their_sites() {
    let kind = AdapterKind::Base {
        embedding_dim: 10,
        tokens: 4,
        output_dim: 16,
    };
    let adapter = IpAdapterWeights::new(kind, &tiny(), &Weights::names(&Device::flex()));
    let names: Vec<&str> = adapter.layers().iter().map(|layer| layer.name()).collect();
    let attn2 = |part| format!("{part}.attentions.0.transformer_blocks.0.attn2");
    assert_eq!(
        names,
        ["down_blocks.0", "up_blocks.0", "mid_block"].map(attn2)
    );
}
