//! T5, and one call of the transformer.

use burn::tensor::{DType, Device, FloatDType, Int, Tensor, TensorData};
use conceptrol_core::models::t5::{T5Config, T5Encoder};
use conceptrol_core::{
    AttentionPlan, BatchLayout, Grid, Session, TokenLayout, models::weights::Weights,
};
use conceptrol_flux::{
    FluxConfig, attention_sites,
    mmdit::{FluxInput, FluxTransformer, Rotary},
};

use crate::{Outcome, case::Case, report::Report};

pub(super) fn t5(case: &Case, device: &Device, report: &mut Report) -> Outcome {
    let (inputs, expected) = (case.inputs()?, case.expected()?);
    let folder = case.file("model")?;
    let config = T5Config::from_file(folder.join("config.json"))?;
    let weights = Weights::open(&folder, device, FloatDType::F32)?;
    let encoder = T5Encoder::new(&config, &weights);
    weights.finish()?;
    let ids = &inputs["input_ids"];
    #[expect(
        clippy::cast_possible_truncation,
        reason = "ids are small whole numbers"
    )]
    let whole: Vec<i32> = ids.values.iter().map(|id| *id as i32).collect();
    let ids = Tensor::<2, Int>::from_data(
        TensorData::new(whole, ids.shape.clone()),
        (device, DType::I32),
    );
    report.tensor(
        "hidden_state_1",
        encoder.states_after(1, ids.clone())?,
        &expected["hidden_state_1"],
    );
    report.tensor(
        "last_hidden_state",
        encoder.forward(ids)?,
        &expected["last_hidden_state"],
    );
    Ok(())
}

pub(super) fn transformer(case: &Case, device: &Device, report: &mut Report) -> Outcome {
    let (inputs, expected) = (case.inputs()?, case.expected()?);
    let folder = case.file("model")?;
    let config = FluxConfig::from_file(folder.join("config.json"))?;
    let weights = Weights::open(&folder, device, FloatDType::F32)?;
    let model = FluxTransformer::new(&config, &weights);
    weights.finish()?;

    let positions = [&inputs["txt_ids"], &inputs["img_ids"]].map(|ids| ids.values.chunks_exact(3));
    let positions: Vec<_> = positions
        .into_iter()
        .flatten()
        .map(|id| [id[0], id[1], id[2]].map(f64::from))
        .collect();
    let rotary = Rotary::new(&positions, config.axes_dims_rope, device, FloatDType::F32);
    let latents: Tensor<3> = inputs["hidden_states"].tensor(device)?;
    let text: Tensor<3> = inputs["encoder_hidden_states"].tensor(device)?;
    let layout = TokenLayout::joint(text.dims()[1], Grid::new(1, latents.dims()[1]), []);
    let batch = BatchLayout::unguided(latents.dims()[0]);
    let mut session = Session::new(&AttentionPlan::plain(&attention_sites(&config)), batch, [])?;
    let input = FluxInput {
        latents,
        text,
        pooled: inputs["pooled_projections"].tensor(device)?,
        condition: None,
        sigma: inputs["timestep"].values[0],
        guidance: inputs
            .get("guidance")
            .map_or(0.0, |guidance| guidance.values[0]),
        rotary: &rotary,
        layout: &layout,
    };
    report.tensor("out", model.forward(input, &mut session)?, &expected["out"]);
    Ok(())
}
