//! Where a model is taken from: what every command line that loads one has.

use std::{
    error::Error,
    path::{Path, PathBuf},
};

use clap::Args;
use conceptrol_core::{
    models::config::Fields,
    pipeline::{LoadOptions, model_at},
};

/// Files that take the place of parts of the model.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Files of the model")]
pub struct PartArguments {
    /// Of a model on the Hugging Face hub, the weights of this variant where there are some (fp16, bf16).
    #[arg(long, value_name = "NAME")]
    pub variant: Option<String>,
    /// Configurations and tokenizers, laid out as a diffusers folder; for single files of other sizes than the published.
    #[arg(long = "config", value_name = "DIR")]
    pub configurations: Option<PathBuf>,
    /// Another `UNet`: a single file, in diffusers' or the original layout.
    #[arg(long, value_name = "FILE")]
    pub unet: Option<PathBuf>,
    /// Another transformer, for FLUX: a single file in the original or diffusers' layout; fp8 and GGUF, too.
    #[arg(long, value_name = "FILE")]
    pub transformer: Option<PathBuf>,
    /// Another autoencoder.
    #[arg(long, value_name = "FILE")]
    pub vae: Option<PathBuf>,
    /// Another first text encoder, CLIP.
    #[arg(long, value_name = "FILE")]
    pub text_encoder: Option<PathBuf>,
    /// Another second text encoder: CLIP in SDXL, T5 in FLUX (GGUF, too).
    #[arg(long, value_name = "FILE")]
    pub text_encoder_2: Option<PathBuf>,
}

impl PartArguments {
    /// Where the model is: a path that exists, or `owner/name[@revision]` on the Hugging Face hub, which is fetched.
    ///
    /// # Errors
    ///
    /// If nothing is there, or it cannot be fetched.
    pub fn locate(&self, model: &Path) -> Result<PathBuf, Box<dyn Error>> {
        #[cfg(feature = "hub")]
        if !model.exists()
            && let Some(id) = model.to_str().and_then(|name| name.parse().ok())
        {
            return crate::hub::fetch(&id, self.variant.as_deref());
        }
        if self.variant.is_some() {
            return Err(
                "--variant is for models of the hub: a folder's best checkpoint is taken".into(),
            );
        }
        Ok(model_at(model)?)
    }

    /// Sets what is given.
    pub fn set<X>(&self, mut options: LoadOptions<X>) -> LoadOptions<X> {
        options.configurations.clone_from(&self.configurations);
        for (name, file) in self.given() {
            options = options.part(name, file);
        }
        options
    }

    /// The parts that are given, by the names of their folders.
    pub fn given(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let parts = [
            ("unet", &self.unet),
            ("transformer", &self.transformer),
            ("vae", &self.vae),
            ("text_encoder", &self.text_encoder),
            ("text_encoder_2", &self.text_encoder_2),
        ];
        (parts.into_iter()).filter_map(|(name, file)| Some((name, file.as_deref()?)))
    }
}

/// Whether `model_index.json` names a pipeline of FLUX. Single files are of Stable Diffusion.
///
/// # Errors
///
/// If a folder has no such file, or it cannot be read.
pub fn is_flux(model: &Path) -> Result<bool, Box<dyn Error>> {
    if model.is_file() {
        return Ok(false);
    }
    let index = Fields::open("pipeline", model.join("model_index.json"))?;
    let class = index.optional_text("_class_name")?;
    Ok(class.is_some_and(|class| class.starts_with("Flux")))
}
