//! The autoencoder, both ways.

use burn::tensor::{Device, FloatDType};
use conceptrol_core::models::{
    autoencoder_kl::{AutoencoderKl, AutoencoderKlConfig},
    weights::Weights,
};

use crate::{Outcome, case::Case, report::Report};

pub(crate) fn run(case: &Case, device: &Device, report: &mut Report) -> Outcome {
    let (inputs, expected) = (case.inputs()?, case.expected()?);
    let folder = case.file("model")?;
    let config = AutoencoderKlConfig::from_file(folder.join("config.json"))?;
    let weights = Weights::open(&folder, device, FloatDType::F32)?;
    let vae = AutoencoderKl::new(&config, &weights);
    weights.finish()?;
    let posterior = vae.encode(inputs["image"].tensor(device)?, None)?;
    report.tensor("mean", posterior.mean(), &expected["mean"]);
    report.tensor("logvar", posterior.logvar(), &expected["logvar"]);
    report.tensor("std", posterior.std(), &expected["std"]);
    report.tensor(
        "decoded",
        vae.decode(inputs["latents"].tensor(device)?, None)?,
        &expected["decoded"],
    );
    Ok(())
}
