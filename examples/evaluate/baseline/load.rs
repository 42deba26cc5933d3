//! A pipeline with a trained LoRA.

use std::{path::Path, sync::Arc};

use conceptrol_core::pipeline::LoadOptions;
use conceptrol_sd::StableDiffusion;

use super::{LowRank, TrainingError};

/// Opens a diffusers folder with the LoRA of a [run](super::train) in the weights of its UNet. Matrices that are not updated
/// exist once.
///
/// # Errors
///
/// [`TrainingError`] for a folder that cannot be opened, and a LoRA that is not one for its UNet.
pub(crate) fn load_with_lora(
    folder: &Path,
    options: LoadOptions,
    lora: &Path,
) -> Result<StableDiffusion, TrainingError> {
    let pipeline = StableDiffusion::open(folder, options)?;
    let unet = Arc::unwrap_or_clone(pipeline.unet()?);
    let lora = LowRank::open(lora, &unet)?;
    Ok(pipeline.with_unet(lora.merged(unet))?)
}
