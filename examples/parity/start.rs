//! Cases that start from a picture: as a request, and what is made of picture and mask.

use std::error::Error;

use burn::tensor::{Device, Tensor};
use conceptrol_core::{
    models::{
        autoencoder_kl::{AutoencoderKl, Posterior},
        image::{Filter, MaskImage, RgbImage, image_to_tensor, open, open_mask, resize},
    },
    pipeline::{ImageSize, Request, Start, Started},
};

use crate::{
    Outcome,
    case::{Array, Arrays, Case, array},
    report::Report,
};

/// The request with the picture and the mask of the case, if it has any.
pub(crate) fn started<X: Default>(
    case: &Case,
    request: Request<X>,
) -> Result<Request<X>, Box<dyn Error>> {
    let Some(strength) = case.params()["strength"].as_f64() else {
        return Ok(request);
    };
    let picture = open(picture(case)?)?;
    let mask = ["mask_picture", "mask"]
        .into_iter()
        .find(|name| case.has_file(name));
    let mask = mask.map(|name| case.file(name)).transpose()?;
    let mask = mask.map(|path| open_mask(&path)).transpose()?;
    let mut start = Start::new(picture).strength(strength);
    if let Some(mask) = mask {
        start = start.repaint(mask);
    }
    Ok(request.start(start))
}

fn picture(case: &Case) -> Result<std::path::PathBuf, Box<dyn Error>> {
    match case.has_file("init_picture") {
        true => case.file("init_picture"),
        false => Ok(case
            .files("images")
            .into_iter()
            .next()
            .ok_or("no picture to start from")?),
    }
}

/// Compares posteriors of the picture and of what the mask leaves of it, and the mask at both sizes.
pub(crate) fn compare(
    start: &Start,
    started: &Started,
    vae: &AutoencoderKl,
    size: ImageSize,
    [inputs, expected]: [&Arrays; 2],
    device: &Device,
    report: &mut Report,
) -> Outcome {
    let picture = resized(start, size)?;
    let pixels = image_to_tensor(&picture, device);
    if let Some(wanted) = inputs.get("init_image") {
        report.within("init_image", &array(pixels.clone()), wanted, 1e-6);
    }
    if let Some(wanted) = inputs.get("init_u8") {
        let values = picture
            .as_raw()
            .iter()
            .map(|byte| f32::from(*byte))
            .collect();
        let shape = wanted.shape.clone();
        report.within("init_u8", &Array { shape, values }, wanted, 0.0);
    }
    posterior(&vae.encode(pixels.clone(), None)?, "init", expected, report);
    if let (Some(latents), Some(wanted)) = (&started.picture, expected.get("init_latents")) {
        report.tensor("init_latents", latents.clone(), wanted);
    }
    let Some(region) = &started.region else {
        return Ok(());
    };
    for (names, name) in [(inputs, "mask_image"), (expected, "mask_binary")] {
        if let Some(wanted) = names.get(name) {
            report.within(name, &of_mask(region, wanted), wanted, 0.0);
        }
    }
    if let (Some(cells), Some(wanted)) = (&started.cells, expected.get("latent_mask")) {
        report.tensor("latent_mask", cells.clone(), wanted);
    }
    let rest = rest(start, region, size, device)?;
    if let Some(wanted) = expected.get("masked_image") {
        report.tensor("masked_image", rest.clone(), wanted);
    }
    if expected.contains_key("masked_mean") {
        posterior(&vae.encode(rest, None)?, "masked", expected, report);
    }
    Ok(())
}

fn resized(start: &Start, size: ImageSize) -> Result<RgbImage, Box<dyn Error>> {
    let (width, height) = (u32::try_from(size.width)?, u32::try_from(size.height)?);
    Ok(resize(&start.image, width, height, Filter::Lanczos))
}

/// The picture without its region, `[1, 3, height, width]`.
pub(crate) fn rest(
    start: &Start,
    region: &MaskImage,
    size: ImageSize,
    device: &Device,
) -> Result<Tensor<4>, Box<dyn Error>> {
    let region = region.to_concept_mask(device).values().clone();
    let kept = region
        .neg()
        .add_scalar(1.0)
        .reshape([1, 1, size.height, size.width]);
    Ok(image_to_tensor(&resized(start, size)?, device) * kept)
}

fn posterior(found: &Posterior, name: &str, expected: &Arrays, report: &mut Report) {
    let parts: [(&str, Tensor<4>); 2] = [("mean", found.mean()), ("std", found.std())];
    for (part, values) in parts {
        let name = format!("{name}_{part}");
        if let Some(wanted) = expected.get(&name) {
            report.tensor(&name, values, wanted);
        }
    }
}

fn of_mask(region: &MaskImage, wanted: &Array) -> Array {
    Array {
        shape: wanted.shape.clone(),
        values: region.values.clone(),
    }
}
