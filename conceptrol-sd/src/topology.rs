//! Which model a UNet is, by the places of its transformers.

use std::collections::BTreeSet;

use conceptrol_core::{
    AttentionSites, Installation,
    mask::{ConceptBlock, ConceptMaskSource},
};

use crate::{config::UNetConfig, sites::attention_sites};

/// A topology whose concept block the paper names: a `UNet` with its blocks at its places. How deep the transformers are
/// does not matter, as long as the concept block is among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Topology {
    /// That of Stable Diffusion 1.x.
    Sd15,
    /// That of SDXL.
    Sdxl,
    /// Any other UNet.
    Other,
}

impl Topology {
    /// The topology with these attention sites.
    pub fn of(sites: &AttentionSites) -> Self {
        let places = places(sites);
        let same = |config: &UNetConfig| self::places(&attention_sites(config)) == places;
        let has = |block: &ConceptBlock| block.check(&Installation::everywhere(sites)).is_ok();
        if same(&UNetConfig::sd15()) && has(&ConceptBlock::sd15()) {
            Self::Sd15
        } else if same(&UNetConfig::sdxl()) && has(&ConceptBlock::sdxl()) {
            Self::Sdxl
        } else {
            Self::Other
        }
    }

    /// The concept block of figure 6 of the paper.
    pub fn concept_block(self) -> Option<ConceptBlock> {
        match self {
            Self::Sd15 => Some(ConceptBlock::sd15()),
            Self::Sdxl => Some(ConceptBlock::sdxl()),
            Self::Other => None,
        }
    }
}

/// The transformers that hold these sites: `up_blocks.0.attentions.1`.
fn places(sites: &AttentionSites) -> BTreeSet<&str> {
    let place = |name: &'_ str| name.find(".transformer_blocks.").unwrap_or(name.len());
    sites
        .iter()
        .map(|site| &site.name[..place(&site.name)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SDXL with transformers of other depths.
    fn sdxl(depths: &str) -> Topology {
        let config = include_str!("config/sdxl.json").replace("[1, 2, 10]", depths);
        assert!(config.contains(depths), "the depths are in the file");
        Topology::of(&attention_sites(
            &UNetConfig::from_json(&config).expect("a valid configuration"),
        ))
    }

    #[test]
    fn depths_do_not_matter_where_the_concept_block_exists() {
        assert_eq!(
            Topology::of(&attention_sites(&UNetConfig::sd15())),
            Topology::Sd15
        );
        assert_eq!(sdxl("[1, 2, 10]"), Topology::Sdxl);
        assert_eq!(sdxl("[1, 2, 4]"), Topology::Sdxl);
        assert_eq!(sdxl("[1, 2, 3]"), Topology::Other, "there is no block 3");
        assert_eq!(
            sdxl("[1, 0, 10]"),
            Topology::Other,
            "a level without attention"
        );
    }
}
