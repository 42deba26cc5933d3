//! Projections from the image encoder to image tokens.

use burn::tensor::{Device, FloatDType, Tensor};
use conceptrol_core::models::weights::{Checkpoint, Weights};
use conceptrol_sd::adapter::{ImageProjection, IpAdapterLayout};

use crate::{
    Outcome,
    case::{Arrays, Case},
    report::Report,
};

pub(crate) fn run(case: &Case, device: &Device, report: &mut Report) -> Outcome {
    let (inputs, expected) = (case.inputs()?, case.expected()?);
    let files = case.json["files"].as_object().ok_or("no files")?;
    for file in files.keys() {
        let name = file.strip_prefix("ip_").unwrap_or(file);
        let Some(wanted) = expected.get(name) else {
            report.skipped(&format!("nothing is expected of {file}"));
            continue;
        };
        let checkpoint = Checkpoint::open(case.file(file)?)?;
        let layout = IpAdapterLayout::of(&checkpoint)?;
        let weights = Weights::from_checkpoint(checkpoint, device, FloatDType::F32);
        let projection = ImageProjection::new(&layout.kind, &weights.at("image_proj"));
        report.tensor(name, project(&projection, &inputs, device)?, wanted);
        if let (Some(wanted), ImageProjection::Base(base)) =
            (expected.get(&format!("{name}_zero")), &projection)
        {
            let width = inputs["image_embeds"].shape[1];
            let tokens = base.forward(Tensor::zeros([1, width], device));
            report.tensor(&format!("{name}_zero"), tokens, wanted);
        }
    }
    Ok(())
}

fn project(
    projection: &ImageProjection,
    inputs: &Arrays,
    device: &Device,
) -> Result<Tensor<3>, Box<dyn std::error::Error>> {
    Ok(match projection {
        ImageProjection::Base(base) => base.forward(inputs["image_embeds"].tensor(device)?),
        ImageProjection::Plus(plus) => plus.forward(inputs["penultimate"].tensor(device)?),
        ImageProjection::Full(full) => full.forward(inputs["penultimate"].tensor(device)?),
        ImageProjection::Face(_) => return Err("no case has faces alone".into()),
    })
}
