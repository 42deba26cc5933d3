//! The fine-tuned baseline: gradients, steps and files against torch, diffusers and peft, and runs that are interrupted.
#![cfg(feature = "autodiff")]

#[path = "../evaluate/baseline/mod.rs"]
mod baseline;

use std::{
    fs,
    path::{Path, PathBuf},
};

use baseline::{Batch, LowRank, Rates, Trainer};
use burn::tensor::{Device, FloatDType, Tensor};
use conceptrol_core::{
    AttentionPlan, BatchLayout, Session,
    models::{
        scheduler::SchedulerConfig,
        weights::{Checkpoint, Weights},
    },
};
use conceptrol_sd::{config::UNetConfig, unet::UNet2DConditionModel};
use serde_json::Value;

/// Steps of a case.
const STEPS: usize = 3;
/// Rows of a step, half of them of the subject.
const ROWS: usize = 4;
/// The cases: what the UNet predicts.
const CASES: [&str; 2] = ["epsilon", "v_prediction"];

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/lora")
}

fn unet() -> UNet2DConditionModel {
    let folder = fixture().join("unet");
    let config = UNetConfig::from_file(folder.join("config.json")).expect("a configuration");
    let weights = Weights::open(&folder, &Device::flex(), FloatDType::F32).expect("weights");
    let unet = UNet2DConditionModel::new(&config, &weights);
    weights.finish().expect("all weights");
    unet
}

/// What diffusers and peft did with the UNet.
struct Case {
    facts: Value,
    steps: Checkpoint,
    folder: PathBuf,
}

impl Case {
    fn open(name: &str) -> Self {
        let folder = fixture().join(name);
        let facts = fs::read_to_string(folder.join("case.json")).expect("a committed file");
        Self {
            facts: serde_json::from_str(&facts).expect("JSON"),
            steps: Checkpoint::open(folder.join("steps.safetensors")).expect("a committed file"),
            folder,
        }
    }

    fn number(&self, name: &str) -> f64 {
        self.facts[name].as_f64().expect("a number")
    }

    fn tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        let tensor = self.steps.load(name, &Device::flex(), FloatDType::F32);
        tensor.expect("readable").expect("there")
    }

    fn batch(&self, step: usize) -> Batch {
        let timesteps: Tensor<1> = self.tensor(&format!("{step}.timesteps"));
        let timesteps = timesteps.into_data().try_to_vec::<f32>().expect("f32");
        Batch {
            latents: self.tensor(&format!("{step}.latents")),
            noise: self.tensor(&format!("{step}.noise")),
            timesteps: timesteps.into_iter().map(|t| t as usize).collect(),
            context: self.tensor(&format!("{step}.states")),
            instances: ROWS / 2,
        }
    }

    fn trainer(&self) -> Trainer {
        let config = SchedulerConfig::from_json(&self.facts["scheduler"].to_string())
            .expect("a configuration")
            .with_kind(conceptrol_core::models::scheduler::SchedulerKind::Ddim);
        let rates = Rates {
            learning_rate: self.number("rate"),
            weight_decay: 1e-2,
            prior_weight: 1.0,
        };
        let objective = config.training().expect("betas");
        Trainer::new(unet(), self.lora(), objective, rates)
    }

    /// The file that `save_lora_weights` of diffusers has written.
    fn lora(&self) -> LowRank {
        LowRank::open(&self.folder.join("pytorch_lora_weights.safetensors"), &unet())
            .expect("a LoRA of the UNet")
    }

    /// Compares tensors by name with those of the fixture that begin with `prefix`.
    #[track_caller]
    fn compare<'a>(
        &self,
        prefix: &str,
        found: impl Iterator<Item = (&'a str, Tensor<2>)>,
        tolerance: f64,
    ) {
        let mut count = 0;
        let mut worst = 0.0;
        for (name, found) in found {
            let expected: Tensor<2> = self.tensor(&format!("{prefix}.{name}"));
            assert_eq!(found.dims(), expected.dims(), "{name}");
            let difference = (found - expected).abs().max().into_scalar::<f32>();
            assert!(f64::from(difference) <= tolerance, "{name}: {difference:e} above {tolerance:e}");
            worst = f32::max(worst, difference);
            count += 1;
        }
        let tensors = self.steps.tensors();
        let expected = tensors.filter(|tensor| tensor.name.starts_with(prefix)).count();
        assert_eq!(count, expected, "as many tensors as peft has");
        println!("{prefix}: {count} tensors, largest deviation {worst:.2e}, tolerance {tolerance:.2e}");
    }
}

#[test]
fn gradients_are_those_of_torch() {
    for name in CASES {
        let case = Case::open(name);
        let (_, gradients) = case.trainer().gradients(&case.batch(0)).expect("a step");
        let gradients = gradients.iter().map(|(name, gradient)| (name.as_str(), gradient.clone()));
        case.compare("gradient", gradients, case.number("gradient_tolerance"));
    }
}

#[test]
fn steps_are_those_of_the_training_script() {
    for name in CASES {
        let case = Case::open(name);
        let mut trainer = case.trainer();
        let tolerance = case.number("loss_tolerance");
        for step in 0..STEPS {
            let losses = trainer.step(&case.batch(step)).expect("a step");
            let expected = &case.facts["losses"][step];
            for (found, expected) in [(Some(losses.instance), &expected[0]), (losses.prior, &expected[1])] {
                let expected = expected.as_f64().expect("a number");
                let found = f64::from(found.expect("a prior"));
                assert!((found - expected).abs() <= tolerance, "{found} instead of {expected}");
            }
        }
        let after = trainer.lora().factors().map(|(name, factor)| (name, factor.clone()));
        case.compare("after", after, case.number("after_tolerance"));
    }
    let norm = |case: &str| Case::open(case).facts["norms"][0].as_f64().expect("a number");
    assert!(norm("v_prediction") > 1.0 && norm("epsilon") < 1.0, "one case is clipped, one is not");
}

/// The prediction of a UNet for the first batch of a case, on a device without autodiff.
fn prediction(unet: &UNet2DConditionModel, case: &Case) -> Tensor<4> {
    let Batch { latents, timesteps, context, .. } = case.batch(0);
    let plan = AttentionPlan::plain(&unet.attention_sites());
    let mut session = Session::new(&plan, BatchLayout::unguided(ROWS), []).expect("rows");
    let timesteps: Vec<f64> = timesteps.into_iter().map(|t| t as f64).collect();
    unet.forward(latents, timesteps, context, None, &mut session).expect("inputs that fit")
}

#[test]
fn a_file_of_diffusers_predicts_what_it_predicts_there() {
    for name in CASES {
        let case = Case::open(name);
        let expected: Tensor<4> = case.tensor("predicted");
        let found = prediction(&case.lora().merged(unet()), &case);
        let difference = (found - expected).abs().max().into_scalar::<f32>();
        let tolerance = case.number("predicted_tolerance");
        println!("{name}: largest deviation {difference:.2e}, tolerance {tolerance:.2e}");
        assert!(f64::from(difference) <= tolerance, "{difference:e} above {tolerance:e}");
    }
}

#[test]
fn a_saved_file_is_the_one_diffusers_saves() {
    let case = Case::open("epsilon");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pytorch_lora_weights.safetensors");
    case.lora().save(&path).expect("a folder that can be written");
    let theirs = fs::read(case.folder.join("pytorch_lora_weights.safetensors"));
    assert!(fs::read(path).expect("written") == theirs.expect("committed"), "other bytes");
}
