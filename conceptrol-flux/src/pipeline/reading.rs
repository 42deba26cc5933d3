//! The adapters that read reference pictures, as their files are recognised.

use std::{collections::HashMap, path::Path};

use conceptrol_core::models::lora::{LoraFile, LoraTargets, Part};
use conceptrol_core::models::weights::Checkpoint;
use conceptrol_core::pipeline::{AdapterFiles, LoadOptions, PipelineError};

use super::ip_adapters::IpAdapter;
use crate::adapter::AdapterFile;
use crate::config::FluxConfig;
use crate::mmdit::Adapters;
use crate::pipeline::FluxOptions;

/// How a pipeline's adapters read pictures.
#[derive(Debug)]
pub(super) enum Reading {
    /// As condition tokens beside the latents, with these additions (OminiControl); without an adapter there are none.
    Conditions(Adapters),
    /// As terms of a branch of their own (IP-Adapters).
    Terms(Vec<IpAdapter>),
}

impl Reading {
    /// Recognises each file by its keys, and checks it.
    pub(super) fn open(
        options: &LoadOptions<FluxOptions>,
        config: &FluxConfig,
        model: &Path,
        targets: impl Fn() -> LoraTargets,
    ) -> Result<Self, PipelineError> {
        let mut conditions = None;
        let mut terms = Vec::new();
        for files in &options.adapters {
            if files.face_shortcut.is_some() {
                return unsupported("shortcut: it is no FaceID plus");
            }
            // a folder is of diffusers or peft, which the low-rank reader knows
            let checkpoint = match files.weights.is_dir() {
                true => None,
                false => Some(Checkpoint::open(&files.weights)?),
            };
            let found = checkpoint.as_ref().map(AdapterFile::of).transpose()?;
            match (found, checkpoint) {
                (Some(AdapterFile::Ip(layout)), Some(checkpoint)) => {
                    let file = (layout, checkpoint);
                    terms.push(IpAdapter::open(files, file, config, model, options)?);
                }
                _ if conditions.is_some() => {
                    return unsupported("second adapter that reads pictures as condition tokens");
                }
                _ => conditions = Some(condition_adapter(files, options, &targets)?),
            }
        }
        match conditions {
            Some(_) if !terms.is_empty() => unsupported("ip-adapter beside OminiControl"),
            Some(adapters) => Ok(Self::Conditions(adapters)),
            None if terms.is_empty() => Ok(Self::Conditions(Adapters::default())),
            None => Ok(Self::Terms(terms)),
        }
    }
}

/// The additions of OminiControl.
fn condition_adapter(
    files: &AdapterFiles,
    options: &LoadOptions<FluxOptions>,
    targets: impl Fn() -> LoraTargets,
) -> Result<Adapters, PipelineError> {
    if files.image_encoder.is_some() {
        return unsupported("image encoder: OminiControl reads pictures with the autoencoder");
    }
    let adapter = LoraFile::open(&files.weights)?.read(&targets(), 1.0)?;
    let mut additions = HashMap::new();
    for (part, deltas) in adapter.parts() {
        if part != Part::Denoiser {
            return unsupported("adapter of text encoders that reads reference pictures");
        }
        additions = deltas.apart(&options.device, options.dtype)?;
    }
    Ok(Adapters::new(additions))
}

fn unsupported<T>(what: &str) -> Result<T, PipelineError> {
    Err(PipelineError::Unsupported {
        family: "FLUX",
        what: what.to_owned(),
    })
}
