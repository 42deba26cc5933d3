//! A model as files: read from either layout, written to either.

use std::{fs, path::Path};

use burn::tensor::FloatDType;
use conceptrol_core::{
    models::{
        autoencoder_kl, clip_text,
        file::write_whole,
        weights::{Checkpoint, WeightError},
    },
    pipeline::{LoadOptions, ModelFiles, PipelineError},
};

use super::configurations::{Configurations, LAYOUT, published};
use crate::{config::UNetConfig, unet};

/// Files of a folder that are no weights. Folders are copied with all that is directly in them.
const CONFIGURATIONS: [&str; 8] = [
    "model_index.json",
    "scheduler",
    "tokenizer",
    "tokenizer_2",
    "unet/config.json",
    "vae/config.json",
    "text_encoder/config.json",
    "text_encoder_2/config.json",
];

/// The files of a model of Stable Diffusion, whichever layout they have: what `convert` reads and writes.
#[derive(Debug)]
pub struct SavedModel {
    files: ModelFiles,
    unet_config: UNetConfig,
    /// Each part by the name of its folder, under its own names.
    parts: Vec<(&'static str, Checkpoint)>,
}

impl SavedModel {
    /// Opens a folder or a single file, as [`StableDiffusion::open`](crate::StableDiffusion::open) does. Nothing is read but
    /// headers.
    ///
    /// # Errors
    ///
    /// Those of opening a pipeline.
    pub fn open(path: impl AsRef<Path>, options: &LoadOptions) -> Result<Self, PipelineError> {
        let files = ModelFiles::open(path.as_ref(), LAYOUT, options)?;
        let unet_config = Configurations::read(&files)?.unet;
        let mut parts = vec![
            (
                "unet",
                unet::own_names(&unet_config, &files.checkpoint("unet")?)?,
            ),
            ("vae", autoencoder_kl::own_names(&files.checkpoint("vae")?)?),
        ];
        for name in ["text_encoder", "text_encoder_2"] {
            if files.has(name) {
                parts.push((name, clip_text::own_names(&files.checkpoint(name)?)?));
            }
        }
        Ok(Self {
            files,
            unet_config,
            parts,
        })
    }

    /// All parts as one checkpoint under the names of LDM and SGM.
    ///
    /// # Errors
    ///
    /// [`WeightError::Map`] if parts of a fused tensor are not there or of several types.
    pub fn single_file(&self) -> Result<Checkpoint, WeightError> {
        let dual = self.parts.len() > 3;
        let original = |(name, file): &(&'static str, Checkpoint)| {
            Ok(match *name {
                "unet" => (
                    "model.diffusion_model.",
                    unet::original_names(&self.unet_config, file)?,
                ),
                "vae" => ("first_stage_model.", autoencoder_kl::original_names(file)?),
                "text_encoder" if dual => ("conditioner.embedders.0.transformer.", file.clone()),
                "text_encoder" => ("cond_stage_model.transformer.", file.clone()),
                _ => (
                    "conditioner.embedders.1.model.",
                    clip_text::open_clip_names(file)?,
                ),
            })
        };
        let parts: Vec<_> = self
            .parts
            .iter()
            .map(original)
            .collect::<Result<_, WeightError>>()?;
        Checkpoint::together(self.files.path(), parts)
    }

    /// Writes a diffusers folder. What is in no file is as in the published model.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] if something cannot be read or written.
    pub fn write_folder(
        &self,
        folder: &Path,
        dtype: Option<FloatDType>,
    ) -> Result<(), PipelineError> {
        for (part, checkpoint) in &self.parts {
            let name = match part.starts_with("text") {
                true => "model.safetensors",
                false => "diffusion_pytorch_model.safetensors",
            };
            checkpoint.write(folder.join(part).join(name), dtype)?;
        }
        if self.files.whole().is_some()
            && let Ok(published) = published(&self.files)
        {
            for (name, text) in published.files() {
                write(&folder.join(name), text.as_bytes())?;
            }
        }
        let given = CONFIGURATIONS
            .into_iter()
            .filter_map(|name| Some((name, self.files.configuration(name)?)));
        for (name, path) in given {
            copy(&path, &folder.join(name))?;
        }
        Ok(())
    }
}

/// A file, or the files directly in a folder.
fn copy(from: &Path, to: &Path) -> Result<(), WeightError> {
    let io = |source| WeightError::Io {
        path: from.to_owned(),
        source,
    };
    if from.is_file() {
        return write(to, &fs::read(from).map_err(io)?);
    }
    if !from.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(from).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.is_file() {
            copy(&path, &to.join(path.file_name().unwrap_or_default()))?;
        }
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), WeightError> {
    use std::io::Write;
    let written: Result<(), std::io::Error> = write_whole(path, |file| file.write_all(bytes));
    written.map_err(|source| WeightError::Write {
        path: path.to_owned(),
        source,
    })
}
