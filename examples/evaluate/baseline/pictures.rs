//! Pictures of the subject and of its class, as latents.

use std::path::Path;

use burn::tensor::Tensor;
use conceptrol_core::{
    models::image::{self, Filter, RgbImage, Window, image_to_tensor, resize_window, save_png},
    pipeline::{Family, ImageSize, Mode, Pipeline, Silent},
};
use conceptrol_sd::{StableDiffusion, pipeline::Request};

use super::{Progress, TrainingError, TrainingRequest};

/// Pictures of the class that are drawn at once.
const AT_ONCE: usize = 4;

/// What the autoencoder's encoder says of some pictures.
#[derive(Debug, Clone)]
pub(super) struct Latents {
    /// `[pictures, channels, height, width]`, scaled for the denoiser.
    mean: Tensor<4>,
    /// Likewise.
    deviation: Tensor<4>,
}

impl Latents {
    /// Encodes pictures at the model's size.
    pub(super) fn encode(
        pipeline: &StableDiffusion,
        pictures: &[RgbImage],
    ) -> Result<Self, TrainingError> {
        let vae = pipeline.vae()?;
        let profile = pipeline.profile();
        let moments = |picture: &RgbImage| {
            let picture = fit(picture, profile.defaults.size);
            let posterior = vae.encode(image_to_tensor(&picture, &profile.device), None)?;
            // Scaling is affine: a deviation has the factor alone.
            let zero = posterior.mean().zeros_like();
            let deviation = vae.scale(posterior.std()) - vae.scale(zero);
            Ok([vae.scale(posterior.mean()), deviation])
        };
        let moments: Vec<[Tensor<4>; 2]> = pictures
            .iter()
            .map(moments)
            .collect::<Result<_, TrainingError>>()?;
        let [mean, deviation] = [0, 1].map(|part| {
            let parts = moments.iter().map(|moments| moments[part].clone());
            Tensor::cat(parts.collect(), 0)
        });
        Ok(Self { mean, deviation })
    }

    /// Number of pictures.
    pub(super) fn len(&self) -> usize {
        self.mean.dims()[0]
    }

    /// Channels, height and width.
    pub(super) fn shape(&self) -> [usize; 3] {
        let [_, channels, height, width] = self.mean.dims();
        [channels, height, width]
    }

    /// Latents of the pictures `which`, drawn from their distributions with standard normal `noise`.
    ///
    /// # Shapes
    /// - noise, output: `[which.len(), channels, height, width]`
    pub(super) fn sample(&self, which: &[usize], noise: Tensor<4>) -> Tensor<4> {
        let rows = |x: &Tensor<4>| {
            let rows = which
                .iter()
                .map(|&row| x.clone().slice_dim(0, row..row + 1));
            Tensor::cat(rows.collect(), 0)
        };
        rows(&self.mean) + rows(&self.deviation) * noise
    }
}

/// The picture scaled until it covers `size`, and the middle of it, as the script does.
fn fit(picture: &RgbImage, size: ImageSize) -> RgbImage {
    let [wanted_width, wanted_height] = [size.width, size.height]
        .map(|edge| u32::try_from(edge).expect("edges of pictures are small"));
    let (width, height) = picture.dimensions();
    let (across, down) = (
        f64::from(wanted_width) / f64::from(width),
        f64::from(wanted_height) / f64::from(height),
    );
    let scale = across.max(down);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an edge of a picture"
    )]
    let scaled = |edge: u32, least: u32| ((f64::from(edge) * scale) as u32).max(least);
    let scaled = (scaled(width, wanted_width), scaled(height, wanted_height));
    let window = Window {
        left: (scaled.0 - wanted_width) / 2,
        top: (scaled.1 - wanted_height) / 2,
        width: wanted_width,
        height: wanted_height,
    };
    resize_window(picture, scaled, window, Filter::Bilinear)
}

/// The pictures of the class in the folder of the run; those that are not there yet are drawn by the model.
pub(super) fn of_class(
    pipeline: &StableDiffusion,
    request: &TrainingRequest,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<RgbImage>, TrainingError> {
    let (folder, total) = (request.folder.join("class"), request.class_pictures);
    let path = |index: usize| folder.join(format!("{index:04}.png"));
    let there = (0..total).take_while(|index| path(*index).exists()).count();
    for first in (there..total).step_by(AT_ONCE) {
        progress(Progress::Class { done: first, total });
        let count = AT_ONCE.min(total - first);
        let asked = Request::new(&request.class_prompt)
            .images_per_prompt(count)
            .mode(Mode::TextOnly)
            .steps(request.class_steps)
            .seed(request.seed.wrapping_add(first as u64))
            .cancel(request.cancel.clone());
        let generation = pipeline.generate(&asked, &mut Silent)?;
        for (offset, picture) in generation.images.iter().enumerate() {
            save_png(path(first + offset), picture, &[])?;
        }
    }
    // Read from the files, so that a run that was killed has the same.
    let open = |index| open_class(&path(index));
    (0..total).map(open).collect()
}

fn open_class(path: &Path) -> Result<RgbImage, TrainingError> {
    Ok(image::open(path)?)
}
