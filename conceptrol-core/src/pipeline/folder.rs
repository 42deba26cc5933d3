//! Folders as diffusers saves them: which pipeline they hold, and where its concept block is.

use std::path::Path;

use serde::Deserialize;

use crate::{
    mask::{ConceptBlock, MaskNorm},
    models::config::read_config,
    pipeline::PipelineError,
    seam::SiteSelector,
};

/// `model_index.json`, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ModelIndex {
    /// The pipeline's class in diffusers.
    #[serde(rename = "_class_name", default)]
    pub class_name: String,
    /// Whether an absent negative prompt of SDXL is zeros rather than the encoding of "".
    #[serde(default = "zeros")]
    pub force_zeros_for_empty_prompt: bool,
}

const fn zeros() -> bool {
    true
}

impl ModelIndex {
    /// Reads the index of a folder that must hold one of these pipelines.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, and [`PipelineError::WrongFamily`].
    pub fn open(folder: &Path, classes: &[&str]) -> Result<Self, PipelineError> {
        let path = folder.join("model_index.json");
        let index: Self = read_config(&path)?;
        if classes.contains(&index.class_name.as_str()) {
            return Ok(index);
        }
        Err(PipelineError::WrongFamily {
            path,
            class_name: index.class_name,
            expected: classes.join(" or "),
        })
    }
}

/// `conceptrol.json` beside `model_index.json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct ConceptrolFile {
    concept_block: ConceptBlockEntry,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct ConceptBlockEntry {
    site: String,
    normalization: Option<Normalization>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Normalization {
    Max,
    Mean,
    None,
}

/// The concept block that `conceptrol.json` of a folder names, if there is one; `block` says how the family reads masks
/// at a site.
///
/// # Errors
///
/// A file that is there and cannot be read.
pub fn concept_block_of(
    folder: &Path,
    block: fn(SiteSelector) -> ConceptBlock,
) -> Result<Option<ConceptBlock>, PipelineError> {
    let path = folder.join("conceptrol.json");
    if !path.exists() {
        return Ok(None);
    }
    let ConceptrolFile { concept_block } = read_config(&path)?;
    let block = block(SiteSelector::named(concept_block.site));
    Ok(Some(match concept_block.normalization {
        None => block,
        Some(Normalization::Max) => block.norm(MaskNorm::Max),
        Some(Normalization::Mean) => block.norm(MaskNorm::Mean),
        Some(Normalization::None) => block.norm(MaskNorm::None),
    }))
}
