//! Control pictures and pictures to edit.

use std::error::Error;

use burn::tensor::{Device, Tensor};
use conceptrol_core::{
    AttentionPlan, Session, StepInfo, StepWindow,
    models::image::{image_to_unit_tensor, open},
    pipeline::{Conditioning, Family, Pipeline},
};
use conceptrol_sd::{
    StableDiffusion,
    pipeline::{ControlRequest, EditRequest, Encoded, Request},
};

use crate::{
    Outcome,
    case::{Arrays, Case, array},
    report::Report,
};

/// The controls of a case, their pictures compared.
pub(crate) fn requests(
    case: &Case,
    inputs: &Arrays,
    device: &Device,
    report: &mut Report,
) -> Result<Vec<ControlRequest>, Box<dyn Error>> {
    let params = case.params();
    let pictures = case.files("control_pictures").into_iter().enumerate();
    let requests = pictures.map(|(index, file)| {
        let picture = open(file)?;
        let name = format!("control_image_{index}");
        report.within(
            &name,
            &array(image_to_unit_tensor(&picture, device)),
            &inputs[&name],
            0.0,
        );
        let number = |field: &str| {
            let number = params[field][index].as_f64();
            number.ok_or(format!("no number {index} of `{field}`"))
        };
        let window = StepWindow::new(
            number("control_guidance_start")?,
            number("control_guidance_end")?,
        )?;
        #[expect(clippy::cast_possible_truncation, reason = "scales are short decimals")]
        let scale = number("conditioning_scale")? as f32;
        let guess = params["guess_mode"].as_bool().unwrap_or(false);
        Ok(ControlRequest::new(index, picture)
            .scale(scale)
            .window(window)
            .guess(guess))
    });
    requests.collect()
}

/// The picture that a case edits.
pub(crate) fn edit(case: &Case) -> Result<Option<EditRequest>, Box<dyn Error>> {
    let Some(scale) = case.params()["image_guidance_scale"].as_f64() else {
        return Ok(None);
    };
    let picture = open(case.file("init_picture")?)?;
    Ok(Some(EditRequest::new(picture).image_guidance(scale)))
}

/// What the first net adds when it is first on, and what a UNet that edits is given.
pub(crate) fn compare(
    case: &Case,
    pipeline: &StableDiffusion,
    request: &Request,
    conditioning: &Conditioning<Encoded>,
    expected: &Arrays,
    report: &mut Report,
) -> Outcome {
    if let Some(picture) = &conditioning.states.picture {
        report.tensor("image_latents", picture.clone(), &expected["image_latents"]);
        let mean = picture
            .clone()
            .slice_dim(0, conditioning.batch.conditional());
        report.tensor("init_mean", mean, &expected["init_mean"]);
        let (rows, _) = rows_of(pipeline, request, conditioning, expected, 0)?;
        let fed = conditioning.states.unet_input(rows);
        report.tensor("unet_in_first", fed, &expected["unet_in_first"]);
    }
    let Some(call) = case.params()["control_first_call"].as_u64() else {
        return Ok(());
    };
    // the first net alone
    let mut first = request.clone();
    first.extra.controls.truncate(1);
    let states = pipeline.condition(&first)?.states;
    let (rows, step) = rows_of(pipeline, request, conditioning, expected, call as usize)?;
    let plan = AttentionPlan::plain(pipeline.attention_sites());
    let mut session = Session::new(&plan, conditioning.batch, [])?;
    session.begin_step(step);
    let denoiser = pipeline.denoiser(&first)?;
    let residuals = denoiser.residuals(&states, &rows, step, &mut session)?;
    let residuals = residuals.ok_or("the net is off in its first call")?;
    for (index, residual) in residuals.down.into_iter().enumerate() {
        let name = format!("control_down_first.{index}");
        report.tensor(&name, residual, &expected[&name]);
    }
    let name = "control_mid_first";
    report.tensor(name, residuals.mid, &expected[name]);
    Ok(())
}

/// The rows of a call, scaled, from the golden latents before it.
fn rows_of(
    pipeline: &StableDiffusion,
    request: &Request,
    conditioning: &Conditioning<Encoded>,
    expected: &Arrays,
    call: usize,
) -> Result<(Tensor<4>, StepInfo), Box<dyn Error>> {
    let scheduler = pipeline.scheduler(request)?;
    let latents = expected["latents"]
        .row(call)
        .tensor::<3>(&pipeline.profile().device)?;
    let latents = scheduler.scale_model_input(latents.unsqueeze(), call);
    let rows = conditioning.batch.by_role(&latents, || latents.clone());
    let timesteps = scheduler.timesteps();
    let step = StepInfo::new(call, timesteps.len(), timesteps[call]);
    Ok((rows, step))
}
