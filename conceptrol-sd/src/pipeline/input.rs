//! What a UNet reads: latents alone, or those of a picture or what is around a region as well.

use conceptrol_core::pipeline::{InputKind, PipelineError};

use crate::config::UNetConfig;

/// The kind of a UNet, told by its input channels beside those of the autoencoder's latents.
///
/// # Errors
///
/// [`PipelineError::Mismatch`] for a UNet that denoises no such latents, or reads something else beside them.
pub(super) fn input_of(unet: &UNetConfig, latents: usize) -> Result<InputKind, PipelineError> {
    let mismatch = |part, found| PipelineError::Mismatch {
        part,
        axis: "channels",
        found,
        expected: latents,
    };
    if unet.out_channels != latents {
        return Err(mismatch("the UNet's output", unet.out_channels));
    }
    match unet.in_channels {
        // latents
        channels if channels == latents => Ok(InputKind::Latents),
        // latents, and those of the picture to edit
        channels if channels == 2 * latents => Ok(InputKind::Edit),
        // latents, the region, and the latents of the rest of the picture
        channels if channels == 2 * latents + 1 => Ok(InputKind::Region),
        channels => Err(mismatch("the UNet's input", channels)),
    }
}
