//! Which model a diffusers folder holds, and where its concept block is.

use std::{collections::BTreeSet, fs, io, path::Path};

use conceptrol_core::{
    AttentionSites, Installation, SiteSelector,
    mask::{ConceptBlock, ConceptMaskSource, MaskNorm},
};
use serde::Deserialize;

use crate::{config::UNetConfig, pipeline::PipelineError, sites::attention_sites};

/// The largest `model_index.json` or `conceptrol.json` that is read.
const LIMIT: u64 = 1 << 20;

/// A family whose concept block the paper names: a `UNet` with its blocks at its places. How deep the transformers are does not
/// matter, as long as the concept block is among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Family {
    /// The topology of Stable Diffusion 1.x.
    Sd15,
    /// The topology of SDXL.
    Sdxl,
    /// Any other UNet.
    Other,
}

impl Family {
    /// The family whose attention sites these are.
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

/// `model_index.json`, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct ModelIndex {
    #[serde(rename = "_class_name", default)]
    pub(crate) class_name: String,
    /// Whether an absent negative prompt of SDXL is zeros rather than the encoding of "".
    #[serde(default = "default_force_zeros")]
    pub(crate) force_zeros_for_empty_prompt: bool,
}

const fn default_force_zeros() -> bool {
    true
}

/// `conceptrol.json` beside `model_index.json`: where a model's concept block is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct ConceptrolFile {
    concept_block: ConceptBlockEntry,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct ConceptBlockEntry {
    site: String,
    #[serde(default)]
    normalization: Normalization,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Normalization {
    #[default]
    Max,
    Mean,
    None,
}

/// Reads `model_index.json`.
pub(crate) fn read_model_index(folder: &Path) -> Result<ModelIndex, PipelineError> {
    read_json(&folder.join("model_index.json"))
}

/// The concept block that `conceptrol.json` names, if there is one.
pub(crate) fn read_concept_block(folder: &Path) -> Result<Option<ConceptBlock>, PipelineError> {
    let path = folder.join("conceptrol.json");
    if !path.exists() {
        return Ok(None);
    }
    let ConceptrolFile { concept_block } = read_json(&path)?;
    let norm = match concept_block.normalization {
        Normalization::Max => MaskNorm::Max,
        Normalization::Mean => MaskNorm::Mean,
        Normalization::None => MaskNorm::None,
    };
    Ok(Some(
        ConceptBlock::cross(SiteSelector::named(concept_block.site)).norm(norm),
    ))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, PipelineError> {
    let read = |source| PipelineError::Read {
        path: path.to_owned(),
        source,
    };
    let size = fs::metadata(path).map_err(read)?.len();
    if size > LIMIT {
        let source = io::Error::other(format!(
            "{size} bytes, more than the {LIMIT} such a file may have"
        ));
        return Err(read(source));
    }
    let text = fs::read_to_string(path).map_err(read)?;
    serde_json::from_str(&text).map_err(|source| PipelineError::Json {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SDXL with transformers of other depths.
    fn sdxl(depths: &str) -> Family {
        let config = include_str!("config/sdxl.json").replace("[1, 2, 10]", depths);
        assert!(config.contains(depths), "the depths are in the file");
        Family::of(&attention_sites(
            &UNetConfig::from_json(&config).expect("a valid configuration"),
        ))
    }

    #[test]
    fn depths_do_not_matter_where_the_concept_block_exists() {
        assert_eq!(
            Family::of(&attention_sites(&UNetConfig::sd15())),
            Family::Sd15
        );
        assert_eq!(sdxl("[1, 2, 10]"), Family::Sdxl);
        assert_eq!(sdxl("[1, 2, 4]"), Family::Sdxl);
        assert_eq!(sdxl("[1, 2, 3]"), Family::Other, "there is no block 3");
        assert_eq!(
            sdxl("[1, 0, 10]"),
            Family::Other,
            "a level without attention"
        );
    }
}
