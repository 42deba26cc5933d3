//! The image encoder, from picture files on.

use burn::tensor::{Device, FloatDType, Tensor};
use conceptrol_core::models::clip_vision::{ClipVisionConfig, ClipVisionModel};
use conceptrol_core::models::{
    image::{ClipImageConfig, clip_tensor, open},
    weights::Weights,
};

use crate::{
    Outcome,
    case::{Case, read_arrays},
    report::Report,
};

pub(crate) fn run(case: &Case, device: &Device, report: &mut Report) -> Outcome {
    let expected = case.expected()?;
    let folder = case.file("image_encoder")?;
    let config = ClipVisionConfig::from_file(folder.join("config.json"))?;
    let weights = Weights::open(&folder, device, FloatDType::F32)?;
    let model = ClipVisionModel::new(&config, &weights);
    weights.finish()?;

    let mut pixels = Vec::new();
    for entry in case.params()["images"].as_array().ok_or("no images")? {
        let path = case.image(entry["image"].as_str().ok_or("an image without a name")?);
        pixels.push(clip_tensor(
            &[open(&path)?],
            &ClipImageConfig::default(),
            device,
        )?);
    }
    if let Ok(file) = case.file("pixel_values") {
        let values = read_arrays(&file)?;
        let first = values.values().next().ok_or("no pixel values")?;
        report.within(
            "pixel_values",
            &crate::case::array(pixels[0].clone()),
            first,
            1e-6,
        );
    }
    let pixels = Tensor::cat(pixels, 0);
    report.tensor(
        "image_embeds",
        model.image_embeds(pixels.clone())?,
        &expected["image_embeds"],
    );
    report.tensor(
        "penultimate",
        model.penultimate(pixels)?,
        &expected["penultimate"],
    );
    let zero = model.penultimate(model.zero_pixels())?;
    report.tensor(
        "zero_image_penultimate",
        zero,
        &expected["zero_image_penultimate"],
    );
    Ok(())
}
