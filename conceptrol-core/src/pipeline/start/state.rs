//! What the loop needs of a picture it starts from.

use burn::tensor::{Bool, DType, FloatDType, Tensor};

use crate::{
    mask::ResizeFilter,
    models::image::MaskImage,
    pipeline::{
        Family, Frame, InputKind, PipelineError, Region, Request, Seeds, Stage, finite,
        start::{Canvas, Crop},
    },
    seam::Grid,
};

/// A picture to start from as the loop takes it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Started {
    /// Its latents, `[images, channels, height, width]`, in f32: a sample of the autoencoder's posterior. `None` where nothing
    /// reads them: in a denoiser that repaints a region, at strength 1.
    pub picture: Option<Tensor<4>>,
    /// The region that is repainted, 1 inside and 0 outside, at the size that is computed.
    pub region: Option<MaskImage>,
    /// The region as it was drawn or found, a value for each pixel of the picture that was given.
    pub mask: Option<MaskImage>,
    /// The region on the grid of the latents, `[1, 1, height, width]`.
    pub cells: Option<Tensor<4>>,
    /// Whether the loop puts the picture back around the region after every step.
    pub(in crate::pipeline) keeps: bool,
    /// Whether it starts from noise alone.
    pub(in crate::pipeline) from_noise: bool,
    pub(in crate::pipeline) untouched: bool,
    pub(in crate::pipeline) crop: Option<Crop>,
}

/// Noise to start from, the picture under it, and the channels that the denoiser takes beside the latents.
pub(in crate::pipeline) struct Prepared {
    pub(in crate::pipeline) noise: Tensor<4>,
    pub(in crate::pipeline) start: Option<Started>,
    pub(in crate::pipeline) beside: Option<Tensor<4>>,
}

impl Started {
    /// `latents` inside the region, the picture under the noise that is left outside; all of `latents` where nothing is
    /// kept.
    pub(in crate::pipeline) fn keep(
        &self,
        latents: Tensor<4>,
        noised: impl FnOnce(Tensor<4>) -> Tensor<4>,
    ) -> Tensor<4> {
        match (&self.picture, &self.cells) {
            (Some(picture), Some(cells)) if self.keeps => {
                let inside: Tensor<4, Bool> = cells.clone().equal_elem(1.0);
                let inside = inside.expand(latents.dims());
                noised(picture.clone()).mask_where(inside, latents)
            }
            _ => latents,
        }
    }
}

/// Draws what a request starts from. The order is diffusers': the sample of the picture's posterior, the noise, the sample of
/// the posterior of the picture without its region. `found` is the region where attention said it.
pub(in crate::pipeline) fn prepare<F: Family + ?Sized>(
    family: &F,
    request: &Request<F::Extra>,
    frame: &Frame,
    found: Option<MaskImage>,
    seeds: &mut Seeds,
) -> Result<Prepared, PipelineError> {
    let Some(start) = &request.start else {
        return Ok(Prepared {
            noise: noise(request, frame, seeds),
            start: None,
            beside: None,
        });
    };
    let profile = family.profile();
    let (shape, device) = (frame.latent_shape, &profile.device);
    let repaint = start.repaint.as_ref();
    let mask = repaint.and_then(|repaint| match &repaint.region {
        Region::Drawn(mask) => Some(mask),
        Region::Concept(_) => found.as_ref(),
    });
    let padding = repaint.and_then(|repaint| repaint.padding);
    let canvas = Canvas::new(&start.image, mask, padding, frame.size);
    let encode = |pixels: Tensor<4>, noise: Tensor<4>| {
        let latents = family.encode_picture(pixels, Some(noise), request.vae_tile)?;
        let what = || "the latents of the picture to start from".into();
        finite::check(&latents, what, Stage::Encoding, profile.dtype)?;
        Ok::<_, PipelineError>(latents)
    };

    let sees_region = profile.input == InputKind::Region;
    let from_noise = canvas.region.is_some() && start.resolved_strength() == 1.0;
    let reads_picture = !(sees_region && from_noise);
    // FLUX Fill draws for it nevertheless
    let draws = reads_picture || profile.scheduler.is_flow_matching();
    let of_picture = draws.then(|| seeds.noise(shape));
    let picture = match of_picture.filter(|_| reads_picture) {
        Some(noise) => Some(encode(canvas.pixels(device), noise)?),
        None => None,
    };
    let noise = noise(request, frame, seeds);
    let (mut cells, mut beside) = (None, None);
    if let Some(region) = &canvas.region {
        let region = region.to_concept_mask(device);
        // drawn even if nobody reads it
        let of_rest = seeds.noise(shape);
        if sees_region {
            let rest = encode(canvas.rest(&region, device), of_rest)?;
            beside = Some(family.around(&region, rest)?);
        }
        let [_, height, width] = shape;
        let small = region.resized(Grid::new(height, width), ResizeFilter::Nearest);
        cells = Some(small.values().clone().reshape([1, 1, height, width]));
    }
    let mask = mask.cloned();
    let start = Started {
        picture,
        mask,
        region: canvas.region,
        cells,
        keeps: !sees_region,
        from_noise,
        untouched: start.is_untouched(),
        crop: canvas.crop,
    };
    let beside = beside.map(|channels: Tensor<4>| channels.cast(DType::F32));
    Ok(Prepared {
        noise,
        start: Some(start),
        beside,
    })
}

/// The noise to start from, of unit variance.
fn noise<X>(request: &Request<X>, frame: &Frame, seeds: &mut Seeds) -> Tensor<4> {
    match &request.latents {
        None => seeds.noise(frame.latent_shape),
        Some(given) => {
            let given = given.clone().to_device(seeds.device());
            given.cast(FloatDType::F32)
        }
    }
}
