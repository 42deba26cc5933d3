//! Folders as diffusers saves them: which pipeline they hold, and where its concept block is.

use std::path::Path;

use crate::{
    mask::{ConceptBlock, MaskNorm},
    models::config::{Choice, Fields},
    models::scheduler::{SchedulerConfig, SchedulerOptions},
    pipeline::PipelineError,
    seam::SiteSelector,
};

/// `model_index.json`, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelIndex {
    /// The pipeline's class in diffusers.
    pub class_name: String,
    /// Whether an absent negative prompt of SDXL is zeros rather than the encoding of "".
    pub force_zeros_for_empty_prompt: bool,
}

impl ModelIndex {
    /// Reads a `model_index.json`, which must be of one of these pipelines.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, and [`PipelineError::WrongFamily`].
    pub fn open(path: &Path, classes: &[&str]) -> Result<Self, PipelineError> {
        let fields = Fields::open("pipeline", path)?;
        let class_name = fields.optional_text("_class_name")?.unwrap_or_default();
        if !classes.contains(&class_name) {
            return Err(PipelineError::WrongFamily {
                class_name: class_name.to_owned(),
                expected: classes.join(" or "),
                path: path.to_owned(),
            });
        }
        // it scales the latents of the picture, and has a schedule of its own
        fields.must_be("is_cosxl_edit", false)?;
        Ok(Self {
            class_name: class_name.to_owned(),
            force_zeros_for_empty_prompt: fields.flag_or("force_zeros_for_empty_prompt", true)?,
        })
    }
}

impl Choice for MaskNorm {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("max", Self::Max),
        ("mean", Self::Mean),
        ("none", Self::None),
    ];
}

/// The concept block that a `conceptrol.json` names, if there is one; `block` says how the family reads masks at a site.
///
/// # Errors
///
/// A file that is there and cannot be read.
pub fn concept_block_of(
    path: &Path,
    block: impl FnOnce(SiteSelector) -> ConceptBlock,
) -> Result<Option<ConceptBlock>, PipelineError> {
    if !path.exists() {
        return Ok(None);
    }
    let fields = Fields::open("conceptrol", path)?;
    let fields = fields.object("concept_block", "concept block")?;
    let site = fields.optional_text("site")?;
    let site = site.ok_or_else(|| fields.error("site", "the name of a site"))?;
    let block = block(SiteSelector::named(site));
    Ok(Some(match fields.value("normalization") {
        None => block,
        Some(_) => block.norm(fields.choice_or("normalization", MaskNorm::Max)?),
    }))
}

/// A scheduler, its fields checked as far as its class is known: one that is not computed here waits for a request that names
/// another.
///
/// # Errors
///
/// A field that cannot be read, with the file.
pub fn checked_scheduler(config: SchedulerConfig) -> Result<SchedulerConfig, PipelineError> {
    if config.kind().is_ok() {
        config.build(1, &SchedulerOptions::default().image_tokens(4096))?;
    }
    Ok(config)
}
