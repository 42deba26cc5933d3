//! Schedulers on given model outputs.

use burn::tensor::{Device, Tensor};
use conceptrol_core::models::scheduler::{SchedulerConfig, SchedulerOptions};

use crate::{
    Outcome,
    case::{Array, Case, array},
    report::Report,
};

pub(crate) fn run(case: &Case, device: &Device, report: &mut Report) -> Outcome {
    let (inputs, expected) = (case.inputs()?, case.expected()?);
    let schedulers = case.params()["schedulers"]
        .as_object()
        .ok_or("no schedulers")?;
    for (name, entry) in schedulers {
        let class = entry["class_name"]
            .as_str()
            .ok_or("a scheduler without a class")?;
        let mut json = entry["config"].clone();
        json["_class_name"] = class.into();
        let mut options = SchedulerOptions::default();
        if let Some(eta) = entry["options"]["eta"].as_f64() {
            options = options.eta(eta);
        }
        if let Some(steps) = entry["options"]["original_inference_steps"].as_u64() {
            options = options.original_inference_steps(usize::try_from(steps)?);
        }
        if let Some(tokens) = entry["options"]["seq"].as_u64() {
            options = options.image_tokens(usize::try_from(tokens)?);
        }
        let steps = usize::try_from(
            entry["num_inference_steps"]
                .as_u64()
                .ok_or("no number of steps")?,
        )?;
        let config = SchedulerConfig::from_json(&json.to_string())?;
        let mut scheduler = config.build(steps, &options)?;

        #[expect(clippy::cast_possible_truncation, reason = "the golden values are f32")]
        let numbers = |values: &[f64]| values.iter().map(|v| *v as f32).collect();
        let mut compare = |what: &str, values: Vec<f32>| {
            report.values(&format!("{name}.{what}"), values, &expected);
        };
        compare("init_noise_sigma", numbers(&[scheduler.init_noise_sigma()]));
        compare("timesteps", numbers(scheduler.timesteps()));
        if !config.kind()?.is_flow_matching() {
            compare("alphas_cumprod", config.alphas_cumprod()?);
        }
        if let Some(sigmas) = scheduler.sigmas() {
            compare("sigmas", sigmas.to_vec());
        }

        let start: Tensor<4> = picture(&inputs["sample"]).tensor(device)?;
        let mut sample = start * scheduler.init_noise_sigma();
        let (mut scaled, mut previous) = (Vec::new(), Vec::new());
        for step in 0..scheduler.timesteps().len() {
            let input = scheduler.scale_model_input(sample.clone(), step);
            scaled.extend(array(input).values);
            let output = picture(&inputs["model_outputs"].row(step)).tensor(device)?;
            let noise: Tensor<4> = picture(&inputs["noises"].row(step)).tensor(device)?;
            sample = scheduler.step(output, step, sample, &mut |_| noise.clone())?;
            previous.extend(array(sample.clone()).values);
        }
        compare("scaled_inputs", scaled);
        compare("prev_samples", previous);
    }
    Ok(())
}

/// With four axes, whatever the case has.
fn picture(array: &Array) -> Array {
    let mut shape = vec![1; 4_usize.saturating_sub(array.shape.len())];
    shape.extend(&array.shape);
    Array {
        shape,
        values: array.values.clone(),
    }
}
