//! From latents to pictures.

use burn::tensor::{FloatDType, Tensor};
use conceptrol_core::models::{autoencoder_kl::Tiling, image::tensor_to_images};
use image::RgbImage;

use crate::pipeline::{PipelineError, StableDiffusion};

impl StableDiffusion {
    /// Decodes latents, `[images, channels, height, width]`, to pictures with values about -1..=1,
    /// `[images, 3, height, width]`; in tiles of `tile` pixels if given.
    ///
    /// # Errors
    ///
    /// Those of loading the autoencoder, and latents with another number of channels.
    pub fn decode(
        &self,
        latents: Tensor<4>,
        tile: Option<usize>,
    ) -> Result<Tensor<4>, PipelineError> {
        let vae = self.vae()?;
        let dtype = self.vae_config().compute_dtype(self.dtype());
        let latents = vae.unscale(latents.cast(dtype));
        let tiling = tile.map(Tiling::new);
        Ok(vae.decode(latents, tiling.as_ref())?.cast(FloatDType::F32))
    }

    /// Decodes latents to 8-bit pictures.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode).
    pub fn pictures(
        &self,
        latents: Tensor<4>,
        tile: Option<usize>,
    ) -> Result<Vec<RgbImage>, PipelineError> {
        Ok(tensor_to_images(self.decode(latents, tile)?))
    }
}
