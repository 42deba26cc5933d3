//! Outputs of tiny models, computed by diffusers with `scripts/unet_golden.py`.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use conceptrol_core::models::weights::Weights;
use conceptrol_core::{AttentionPlan, BatchLayout, Session};
use conceptrol_sd::config::UNetConfig;
use conceptrol_sd::unet::{AddedConditions, Timestep, Timesteps, UNet2DConditionModel, UNetError};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::Deserialize;

use crate::{
    common::largest,
    values::{values, weight},
};

/// Text tokens of every case.
const TEXT_LEN: usize = 7;

#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) config: serde_json::Value,
    size: [usize; 3],
    timestep: f64,
    guidance_scale: Option<f64>,
    atol: f32,
    pub(crate) sites: Vec<String>,
}

impl Case {
    pub(crate) fn read(name: &str) -> Self {
        let text = std::fs::read_to_string(fixture(name, "json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    pub(crate) fn unet_config(&self) -> UNetConfig {
        UNetConfig::from_json(&self.config.to_string()).unwrap()
    }
}

fn fixture(name: &str, extension: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/unet/{name}.{extension}"))
}

/// A checkpoint file with computed weights, opened the way every checkpoint is.
fn model(config: &UNetConfig, device: &Device) -> UNet2DConditionModel {
    let names = Weights::names(device);
    let _ = UNet2DConditionModel::new(config, &names);
    let tensors = names.finish().unwrap();
    let bytes: HashMap<String, (Vec<usize>, Vec<u8>)> = (tensors.iter())
        .map(|tensor| {
            let numbers = weight(&tensor.name, &tensor.shape);
            let bytes = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
            (tensor.name.clone(), (tensor.shape.clone(), bytes))
        })
        .collect();
    let views = bytes.iter().map(|(name, (shape, bytes))| {
        (
            name,
            TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap(),
        )
    });
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("diffusion_pytorch_model.safetensors");
    std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();

    let weights = Weights::open(&path, device, FloatDType::F32).unwrap();
    let model = UNet2DConditionModel::new(config, &weights);
    weights.finish().unwrap();
    model
}

fn tensor<const D: usize>(name: &str, shape: [usize; D], device: &Device) -> Tensor<D> {
    let numbers = values(name, shape.iter().product());
    Tensor::from_data(TensorData::new(numbers, shape), (device, DType::F32))
}

/// Evaluates the rows `rows` of a case.
fn run(case: &Case, rows: Range<usize>) -> Vec<f32> {
    let device = Device::flex();
    let config = case.unet_config();
    let model = model(&config, &device);
    let [batch, height, width] = case.size;
    let latents = tensor(
        "latents",
        [batch, config.in_channels, height, width],
        &device,
    );
    let context = tensor("context", [batch, TEXT_LEN, config.context_dim], &device);
    let added = config.added.as_ref().map(|added| {
        let pooled = added.input_dim - 6 * added.sinusoid_dim;
        let top = |row: usize| 16.0 * row as f32;
        AddedConditions {
            text_embeds: tensor("pooled", [batch, pooled], &device).slice_dim(0, rows.clone()),
            time_ids: (rows.clone())
                .map(|row| vec![512.0, 768.0, top(row), 0.0, 1024.0, 1024.0])
                .collect(),
        }
    });
    let mut timestep = Timestep::from(case.timestep);
    timestep.guidance_scale = case.guidance_scale;

    let plan = AttentionPlan::plain(&model.attention_sites());
    let mut session = Session::new(&plan, BatchLayout::unguided(rows.len()), []).unwrap();
    let mut evaluate = || {
        let latents = latents.clone().slice_dim(0, rows.clone());
        let context = context.clone().slice_dim(0, rows.clone());
        let out = model.forward(latents, timestep, context, added.clone(), &mut session);
        out.unwrap().into_data().try_to_vec::<f32>().unwrap()
    };
    let first = evaluate();
    // The second step of a session uses the keys and values the first one kept.
    assert_eq!(
        first,
        evaluate(),
        "a second step with the same input differs"
    );
    first
}

fn expected(name: &str) -> Vec<f32> {
    let bytes = std::fs::read(fixture(name, "safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let bytes = tensors.tensor("out").unwrap().data().to_vec();
    let numbers = bytes.chunks_exact(4);
    numbers
        .map(|x| f32::from_le_bytes(x.try_into().unwrap()))
        .collect()
}

#[track_caller]
fn assert_close(name: &str, found: &[f32], expected: &[f32], atol: f32) {
    assert_eq!(
        found.len(),
        expected.len(),
        "{name}: another number of values"
    );
    assert!(found.iter().all(|x| x.is_finite()), "{name}: not finite");
    let worst = largest(found.iter().zip(expected).map(|(a, b)| (a - b).abs()));
    println!("{name}: largest deviation {worst:.2e}, tolerance {atol:.2e}");
    assert!(
        worst <= atol,
        "{name}: largest deviation {worst:e} above {atol:e}"
    );
}

fn check(name: &str) {
    let case = Case::read(name);
    let (found, expected) = (run(&case, 0..case.size[0]), expected(name));
    assert_close(name, &found, &expected, case.atol);
}

#[test]
fn sd15_with_convolutional_projections() {
    check("sd15");
}

#[test]
fn sd15_at_an_odd_size() {
    check("sd15_odd");
}

#[test]
fn sdxl_with_added_conditions_and_deep_transformers() {
    check("sdxl");
}

#[test]
fn sdxl_at_an_odd_size() {
    check("sdxl_odd");
}

#[test]
fn lists_for_every_level_and_layer() {
    check("asymmetric");
}

#[test]
fn no_middle_and_the_guidance_scale_as_an_input() {
    check("guided");
}

#[test]
fn rows_do_not_see_each_other() {
    for name in ["sd15", "sdxl"] {
        let case = Case::read(name);
        let together = run(&case, 0..case.size[0]);
        let row = together.len() / case.size[0];
        for (index, expected) in together.chunks(row).enumerate() {
            let alone = run(&case, index..index + 1);
            assert!(alone == expected, "row {index} of {name}: other bits");
        }
    }
}

#[test]
fn every_row_can_have_its_own_timestep() {
    for name in ["sd15", "guided"] {
        let case = Case::read(name);
        let device = Device::flex();
        let config = case.unet_config();
        let model = model(&config, &device);
        let [rows, height, width] = case.size;
        let shape = [rows, config.in_channels, height, width];
        let latents = tensor("latents", shape, &device);
        let context = tensor("context", [rows, TEXT_LEN, config.context_dim], &device);
        let values: Vec<f64> = (0..rows).map(|row| 3.0 + 490.5 * row as f64).collect();
        let run = |rows: Range<usize>| {
            let mut timesteps = Timesteps::from(values[rows.clone()].to_vec());
            timesteps.guidance_scale = case.guidance_scale;
            let plan = AttentionPlan::plain(&model.attention_sites());
            let batch = BatchLayout::unguided(rows.len());
            let mut session = Session::new(&plan, batch, []).unwrap();
            let latents = latents.clone().slice_dim(0, rows.clone());
            let context = context.clone().slice_dim(0, rows);
            let out = model.forward(latents, timesteps, context, None, &mut session);
            out.unwrap().into_data().try_to_vec::<f32>().unwrap()
        };
        let together = run(0..rows);
        let alone: Vec<f32> = (0..rows).flat_map(|row| run(row..row + 1)).collect();
        assert!(
            together == alone,
            "{name}: other bits than with a timestep for all"
        );
    }
}

#[test]
fn inputs_that_do_not_fit_are_errors() {
    let device = Device::flex();
    let case = Case::read("sdxl");
    let config = case.unet_config();
    let model = UNet2DConditionModel::new(&config, &Weights::random(1, &device, FloatDType::F32));
    let plan = AttentionPlan::plain(&model.attention_sites());
    let added = |pooled: usize, rows: usize| {
        Some(AddedConditions {
            text_embeds: Tensor::zeros([1, pooled], &device),
            time_ids: vec![vec![0.0; 6]; rows],
        })
    };
    let call = |channels: usize, context_dim: usize, added, timestep: Timestep| {
        let mut session = Session::new(&plan, BatchLayout::unguided(1), []).unwrap();
        let latents = Tensor::zeros([1, channels, 4, 4], &device);
        let context = Tensor::zeros([1, 5, context_dim], &device);
        model
            .forward(latents, timestep, context, added, &mut session)
            .map(|_| ())
    };
    let now = Timestep::from(1.0);
    assert!(call(4, 20, added(12, 1), now).is_ok());
    let message = |result: Result<(), UNetError>| result.unwrap_err().to_string();
    assert_eq!(
        message(call(3, 20, added(12, 1), now)),
        "the latents: 3 channels instead of 4"
    );
    assert_eq!(
        message(call(4, 21, added(12, 1), now)),
        "the text: 21 channels instead of 20"
    );
    assert_eq!(
        message(call(4, 20, added(13, 1), now)),
        "pooled text with picture sizes: 49 channels instead of 48"
    );
    assert_eq!(
        message(call(4, 20, added(12, 2), now)),
        "the list of picture sizes: 2 rows instead of 1"
    );
    let mut session = Session::new(&plan, BatchLayout::unguided(1), []).unwrap();
    let latents = Tensor::zeros([1, 4, 4, 4], &device);
    let context = Tensor::zeros([1, 5, 20], &device);
    let two = vec![1.0, 2.0];
    let two = model.forward(latents, two, context, added(12, 1), &mut session);
    assert_eq!(
        message(two.map(|_| ())),
        "the timesteps: 2 rows instead of 1"
    );
    assert!(matches!(
        call(4, 20, None, now),
        Err(UNetError::MissingAddedConditions)
    ));
    assert!(matches!(
        call(4, 20, added(12, 1), now.guided_by(2.0)),
        Err(UNetError::UnusedGuidanceScale)
    ));
}
