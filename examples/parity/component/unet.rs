//! The UNet without an adapter.

use burn::tensor::{Device, FloatDType};
use conceptrol_core::{AttentionPlan, BatchLayout, Session, models::weights::Weights};
use conceptrol_sd::{
    config::UNetConfig,
    unet::{AddedConditions, UNet2DConditionModel},
};

use crate::{Outcome, case::Case, report::Report};

pub(crate) fn run(case: &Case, device: &Device, report: &mut Report) -> Outcome {
    let (inputs, expected) = (case.inputs()?, case.expected()?);
    let folder = case.file("model")?;
    let config = UNetConfig::from_file(folder.join("config.json"))?;
    let weights = Weights::open(&folder, device, FloatDType::F32)?;
    let unet = UNet2DConditionModel::new(&config, &weights);
    weights.finish()?;

    let sample = inputs["sample"].tensor::<4>(device)?;
    let added = match (inputs.get("text_embeds"), inputs.get("time_ids")) {
        (Some(text), Some(ids)) => Some(AddedConditions {
            text_embeds: text.tensor(device)?,
            time_ids: ids
                .values
                .chunks(ids.shape[1])
                .map(<[f32]>::to_vec)
                .collect(),
        }),
        _ => None,
    };
    let plan = AttentionPlan::plain(&unet.attention_sites());
    let mut session = Session::new(&plan, BatchLayout::unguided(sample.dims()[0]), [])?;
    let timestep = f64::from(inputs["timestep"].values[0]);
    let context = inputs["encoder_hidden_states"].tensor(device)?;
    report.tensor(
        "out",
        unet.forward(sample, timestep, context, added, &mut session)?,
        &expected["out"],
    );
    Ok(())
}
