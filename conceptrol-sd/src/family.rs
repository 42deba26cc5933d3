//! Which model a diffusers folder holds, and where its concept block is.

use std::{fs, io, path::Path};

use conceptrol_core::{
    AttentionSites, SiteSelector,
    mask::{ConceptBlock, MaskNorm},
};
use serde::Deserialize;

use crate::{config::UNetConfig, pipeline::PipelineError, sites::attention_sites};

/// The largest `model_index.json` or `conceptrol.json` that is read.
const LIMIT: u64 = 1 << 20;

/// A family whose concept block the paper names.
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
        let same = |config: &UNetConfig| {
            let names = attention_sites(config);
            names.len() == sites.len() && names.iter().zip(sites).all(|(a, b)| a.name == b.name)
        };
        if same(&UNetConfig::sd15()) {
            Self::Sd15
        } else if same(&UNetConfig::sdxl()) {
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
        ConceptBlock::cross(SiteSelector::named(concept_block.site)).with_norm(norm),
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
