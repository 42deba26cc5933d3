//! Trajectories of every scheduler against diffusers, written by the scripts beside them: from noise in
//! `fixtures/schedulers`, from a picture and of flow matching in `fixtures/schedulers_from_picture`, of two calls a step in
//! `fixtures/schedulers_second_order`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device, Tensor, TensorData};
use conceptrol_core::models::config::parse_python_json;
use conceptrol_core::models::scheduler::{
    Scheduler, SchedulerConfig, SchedulerError, SchedulerOptions,
};
use safetensors::SafeTensors;
use serde_json::Value;

type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

fn read_tensors(path: &Path) -> Tensors {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let values = |data: &[u8]| {
        data.chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect()
    };
    let tensors = file.tensors().into_iter();
    tensors
        .map(|(name, view)| (name, (view.shape().to_vec(), values(view.data()))))
        .collect()
}

/// Entry `index` of the leading axis as a tensor of the other four.
fn entry((shape, values): &(Vec<usize>, Vec<f32>), index: usize, device: &Device) -> Tensor<4> {
    let dims: [usize; 4] = shape[shape.len() - 4..].try_into().unwrap();
    let size: usize = dims.iter().product();
    let data = TensorData::new(values[index * size..(index + 1) * size].to_vec(), dims);
    Tensor::from_data(data, (device, DType::F32))
}

fn options(values: &Value) -> SchedulerOptions {
    let mut options = SchedulerOptions::default();
    if let Some(eta) = values["eta"].as_f64() {
        options = options.eta(eta);
    }
    if let Some(steps) = values["original_inference_steps"].as_u64() {
        options = options.original_inference_steps(steps as usize);
    }
    if let Some(step) = values["begin_at"].as_u64() {
        options = options.begin_at(step as usize);
    }
    if let Some(tokens) = values["image_tokens"].as_u64() {
        options = options.image_tokens(tokens as usize);
    }
    options
}

fn build(case: &Value) -> Result<Box<dyn Scheduler>, SchedulerError> {
    let kind = case["class_name"].as_str().unwrap().parse()?;
    let config = SchedulerConfig::new(kind, case["config"].as_object().unwrap().clone());
    config.build(
        case["num_inference_steps"].as_u64().unwrap() as usize,
        &options(&case["options"]),
    )
}

/// Every tensor of one trajectory under the names of the fixture.
fn trajectory(
    case: &Value,
    inputs: &Tensors,
) -> Result<BTreeMap<&'static str, Vec<f32>>, SchedulerError> {
    let device = Device::flex();
    let mut scheduler = build(case)?;
    let host = |tensor: Tensor<4>| tensor.into_data().try_to_vec::<f32>().unwrap();
    let mut out = BTreeMap::from([
        (
            "init_noise_sigma",
            vec![scheduler.init_noise_sigma() as f32],
        ),
        (
            "timesteps",
            scheduler
                .timesteps()
                .iter()
                .map(|timestep| *timestep as f32)
                .collect(),
        ),
    ]);
    if let Some(sigmas) = scheduler.sigmas() {
        out.insert("sigmas", sigmas.to_vec());
    }
    let (mut scaled, mut previous) = (Vec::new(), Vec::new());
    let tensor = |name: &str| entry(&inputs[name], 0, &device);
    let noised = |call| scheduler.add_noise(tensor("picture"), tensor("noise"), call);
    let mut sample = match inputs.contains_key("picture") {
        true => {
            let calls = 0..scheduler.timesteps().len();
            out.insert(
                "noised",
                calls.flat_map(|call| host(noised(call))).collect(),
            );
            noised(0)
        }
        false => tensor("sample").mul_scalar(scheduler.init_noise_sigma()),
    };
    for call in 0..scheduler.timesteps().len() {
        scaled.extend(host(scheduler.scale_model_input(sample.clone(), call)));
        let output = entry(&inputs["model_outputs"], call, &device);
        sample = scheduler
            .step(output, call, sample, &mut |_| {
                entry(&inputs["noises"], call, &device)
            })
            .unwrap();
        previous.extend(host(sample.clone()));
    }
    out.extend([("scaled_inputs", scaled), ("prev_samples", previous)]);
    Ok(out)
}

fn greatest_deviation(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let deviations = got.iter().zip(want).map(|(a, b)| f64::from((a - b).abs()));
    deviations.fold(0.0, |most, next| {
        if next.is_nan() {
            f64::INFINITY
        } else {
            most.max(next)
        }
    })
}

fn check(directory: &Path) {
    let text = std::fs::read_to_string(directory.join("case.json")).unwrap();
    let case = parse_python_json(&text).unwrap();
    let inputs = read_tensors(&directory.join("inputs.safetensors"));
    let expected = read_tensors(&directory.join("expected.safetensors"));
    let mut failures = Vec::new();
    let mut worst = (0.0, String::new());
    let schedulers = case["params"]["schedulers"].as_object().unwrap();
    for (name, scheduler) in schedulers {
        let got = match trajectory(scheduler, &inputs) {
            Ok(got) => got,
            Err(error) => {
                failures.push(format!("{name}: {error}: {scheduler}"));
                continue;
            }
        };
        let prefix = format!("{name}.");
        let wanted = expected.iter().filter(|(key, _)| key.starts_with(&prefix));
        for (key, (_, want)) in wanted {
            let got = &got[&key[prefix.len()..]];
            if got.len() != want.len() {
                failures.push(format!(
                    "{key}: {} values, not {}: {scheduler}",
                    got.len(),
                    want.len()
                ));
                continue;
            }
            let tolerance = case["noise_floor"][key]["suggested_atol"].as_f64().unwrap();
            let deviation = greatest_deviation(got, want);
            if deviation / tolerance > worst.0 {
                worst = (deviation / tolerance, format!("{key} {scheduler}"));
            }
            if deviation > tolerance {
                failures.push(format!(
                    "{key}: {deviation:.2e} > {tolerance:.2e}: {scheduler}"
                ));
            }
        }
    }
    // What gives NaN or an exception there is an error here; `bh1` is computed by its limit instead.
    for (name, case) in case["params"]["failed"].as_object().into_iter().flatten() {
        if case["config"]["solver_type"] != "bh1" {
            assert!(build(case).is_err(), "{name}: {case}");
        }
    }
    println!(
        "{} trajectories, worst {:.3} of its tolerance: {}",
        schedulers.len(),
        worst.0,
        worst.1
    );
    assert!(
        failures.is_empty(),
        "{} failures:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

#[test]
fn trajectories_equal_diffusers() {
    check(&fixtures().join("schedulers"));
}

#[test]
fn trajectories_from_a_picture_equal_diffusers() {
    check(&fixtures().join("schedulers_from_picture"));
}

#[test]
fn trajectories_of_second_order_equal_diffusers() {
    check(&fixtures().join("schedulers_second_order"));
}
