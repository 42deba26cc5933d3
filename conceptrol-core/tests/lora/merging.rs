//! Weights with low-rank files merged as they are read.

use std::sync::Arc;

use burn::tensor::{Device, FloatDType};
use conceptrol_core::models::lora::Deltas;
use conceptrol_core::models::weights::Weights;

use crate::file::{
    Stored, assert_close, called, checkpoint, dense, lora, numbers, targets, values,
};

const MODULE: &str = "block_a.to_out.0";

fn model_file() -> Vec<Stored> {
    vec![
        numbers(format!("{MODULE}.weight"), &[6, 4]),
        numbers(format!("{MODULE}.bias"), &[6]),
    ]
}

fn pair() -> Vec<Stored> {
    vec![
        called(&numbers("down", &[2, 4]), format!("{MODULE}.lora_A.weight")),
        called(&numbers("up", &[6, 2]), format!("{MODULE}.lora_B.weight")),
    ]
}

fn deltas(strength: f64) -> Deltas {
    let lora = lora(&pair())
        .and_then(|file| file.read(&targets(), strength))
        .expect("it fits");
    let (_, deltas) = lora.parts().next().expect("a part");
    deltas.clone()
}

fn weight(merged: Deltas, dtype: FloatDType) -> Vec<f32> {
    let file = checkpoint(&model_file(), None);
    let weights = Weights::from_checkpoint(file, &Device::flex(), dtype).merging(Arc::new(merged));
    let read = weights.at(MODULE).tensor::<2>("weight", [6, 4]).val();
    assert_eq!(FloatDType::from(read.dtype()), dtype);
    values(read.cast(FloatDType::F32))
}

#[test]
fn weights_of_either_sign_add_up() {
    let plain = weight(Deltas::default(), FloatDType::F32);
    let change = dense(&lora(&pair()).expect("a LoRA"), MODULE);
    let mut both = deltas(0.75);
    both.append(&deltas(-0.25));
    let expected: Vec<f32> = plain
        .iter()
        .zip(&change)
        .map(|(w, d)| w + 0.5 * d)
        .collect();
    assert_close(&weight(both, FloatDType::F32), &expected, "0.75 - 0.25");
    let mut none = deltas(1.0);
    none.append(&deltas(-1.0));
    assert_close(&weight(none, FloatDType::F32), &plain, "1 - 1");
}

/// The sum is made in f32 and rounded once.
#[test]
fn half_precision_is_rounded_once() {
    let single = weight(deltas(1.0), FloatDType::F32);
    let rounded = |x: &f32| half::f16::from_f32(*x).to_f32();
    let expected: Vec<f32> = single.iter().map(rounded).collect();
    assert_eq!(weight(deltas(1.0), FloatDType::F16), expected);
}

#[test]
fn other_tensors_stay() {
    let file = checkpoint(&model_file(), None);
    let weights = Weights::from_checkpoint(file, &Device::flex(), FloatDType::F32);
    let plain = values(weights.at(MODULE).tensor::<1>("bias", [6]).val());
    let merged = weights.merging(Arc::new(deltas(1.0)));
    assert_eq!(
        values(merged.at(MODULE).tensor::<1>("bias", [6]).val()),
        plain
    );
}
