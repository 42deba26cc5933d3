//! The fine-tuned baseline: gradients, steps and files against torch, diffusers and peft, and runs that are interrupted.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    Batch, LowRank, Progress, RARE_WORD, Rates, Trainer, TrainingError, TrainingRequest,
    load_with_lora, train, with_rare_word,
};
use burn::tensor::{Device, FloatDType, Tensor};
use conceptrol_core::{
    AttentionPlan, BatchLayout, Session,
    message::chain,
    models::{
        image,
        scheduler::{SchedulerConfig, SchedulerKind},
        weights::{Checkpoint, Weights},
    },
    pipeline::{LoadOptions, Mode, Pipeline, Silent},
};
use conceptrol_sd::{
    StableDiffusion, config::UNetConfig, pipeline::Request, unet::UNet2DConditionModel,
};
use serde_json::Value;
use tempfile::TempDir;

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
    unet_on(&Device::flex())
}

fn unet_on(device: &Device) -> UNet2DConditionModel {
    let folder = fixture().join("unet");
    let config = UNetConfig::from_file(folder.join("config.json")).expect("a configuration");
    let weights = Weights::open(&folder, device, FloatDType::F32).expect("weights");
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
        self.trainer_on(&Device::flex())
    }

    /// With the frozen weights on `device`.
    fn trainer_on(&self, device: &Device) -> Trainer {
        let config = SchedulerConfig::from_json(&self.facts["scheduler"].to_string())
            .expect("a configuration")
            .with_kind(SchedulerKind::Ddim);
        let rates = Rates {
            learning_rate: self.number("rate"),
            weight_decay: 1e-2,
            prior_weight: 1.0,
        };
        let objective = config.training().expect("betas");
        Trainer::new(unet_on(device), self.lora(), objective, rates)
    }

    /// The file that `save_lora_weights` of diffusers has written.
    fn lora(&self) -> LowRank {
        LowRank::open(
            &self.folder.join("pytorch_lora_weights.safetensors"),
            &unet(),
        )
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
            assert!(
                f64::from(difference) <= tolerance,
                "{name}: {difference:e} above {tolerance:e}"
            );
            worst = f32::max(worst, difference);
            count += 1;
        }
        let tensors = self.steps.tensors();
        let expected = tensors
            .filter(|tensor| tensor.name.starts_with(prefix))
            .count();
        assert_eq!(count, expected, "as many tensors as peft has");
        conceptrol_examples::say!(
            "{prefix}: {count} tensors, largest deviation {worst:.2e}, tolerance {tolerance:.2e}"
        );
    }
}

#[test]
fn gradients_are_those_of_torch() {
    // Frozen weights are constants where they are, and may as well be on the device of the gradients.
    let devices = [Device::flex(), Device::flex().autodiff()];
    for (name, device) in CASES
        .iter()
        .flat_map(|name| devices.iter().map(move |device| (name, device)))
    {
        let case = Case::open(name);
        let trainer = case.trainer_on(device);
        let (_, gradients) = trainer.gradients(&case.batch(0)).expect("a step");
        let gradients = gradients
            .iter()
            .map(|(name, gradient)| (name.as_str(), gradient.clone()));
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
            for (found, expected) in [
                (Some(losses.instance), &expected[0]),
                (losses.prior, &expected[1]),
            ] {
                let expected = expected.as_f64().expect("a number");
                let found = f64::from(found.expect("a prior"));
                assert!(
                    (found - expected).abs() <= tolerance,
                    "{found} instead of {expected}"
                );
            }
        }
        let after = trainer
            .lora()
            .factors()
            .map(|(name, factor)| (name, factor.clone()));
        case.compare("after", after, case.number("after_tolerance"));
    }
    let norm = |case: &str| {
        Case::open(case).facts["norms"][0]
            .as_f64()
            .expect("a number")
    };
    assert!(
        norm("v_prediction") > 1.0 && norm("epsilon") < 1.0,
        "one case is clipped, one is not"
    );
}

/// The prediction of a UNet for the first batch of a case, on a device without autodiff.
fn prediction(unet: &UNet2DConditionModel, case: &Case) -> Tensor<4> {
    let Batch {
        latents,
        timesteps,
        context,
        ..
    } = case.batch(0);
    let plan = AttentionPlan::plain(&unet.attention_sites());
    let mut session = Session::new(&plan, BatchLayout::unguided(ROWS), []).expect("rows");
    let timesteps: Vec<f64> = timesteps.into_iter().map(|t| t as f64).collect();
    unet.forward(latents, timesteps, context, None, &mut session)
        .expect("inputs that fit")
}

#[test]
fn a_file_of_diffusers_predicts_what_it_predicts_there() {
    for name in CASES {
        let case = Case::open(name);
        let expected: Tensor<4> = case.tensor("predicted");
        let found = prediction(&case.lora().merged(unet()), &case);
        let difference = (found - expected).abs().max().into_scalar::<f32>();
        let tolerance = case.number("predicted_tolerance");
        conceptrol_examples::say!(
            "{name}: largest deviation {difference:.2e}, tolerance {tolerance:.2e}"
        );
        assert!(
            f64::from(difference) <= tolerance,
            "{difference:e} above {tolerance:e}"
        );
    }
}

#[test]
fn a_saved_file_is_the_one_diffusers_saves() {
    let case = Case::open("epsilon");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pytorch_lora_weights.safetensors");
    case.lora()
        .save(&path)
        .expect("a folder that can be written");
    let theirs = fs::read(case.folder.join("pytorch_lora_weights.safetensors"));
    assert!(
        fs::read(path).expect("written") == theirs.expect("committed"),
        "other bytes"
    );
}

#[test]
fn a_new_lora_changes_nothing() {
    let case = Case::open("epsilon");
    let lora = LowRank::new(&unet(), 2, 3);
    for (name, factor) in lora.factors() {
        let [rows, columns] = factor.dims();
        let largest = factor.clone().abs().max().into_scalar::<f32>();
        if name.ends_with("up.weight") {
            assert_eq!((columns, largest), (2, 0.0), "{name}");
        } else {
            let bound = 1.0 / (columns as f32).sqrt();
            assert_eq!(rows, 2, "{name}");
            assert!(
                largest <= bound && largest > 0.4 * bound,
                "{name}: {largest} of {bound}"
            );
        }
    }
    let with = prediction(&lora.merged(unet()), &case).into_data();
    with.assert_eq(&prediction(&unet(), &case).into_data(), true);
    let drawn = |seed| {
        let lora = LowRank::new(&unet(), 2, seed);
        let (_, factor) = lora.factors().next().expect("a factor");
        factor.to_data().try_to_vec::<f32>().expect("f32")
    };
    assert_eq!(drawn(3), drawn(3));
    assert_ne!(drawn(3), drawn(4));
}

#[test]
fn a_lora_of_another_model_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lora.safetensors");
    let error = |path: &Path| {
        let error = LowRank::open(path, &unet()).expect_err("not a LoRA of the UNet");
        chain(&error)
    };
    // A factor of another name: both are named.
    let lora = Case::open("epsilon")
        .folder
        .join("pytorch_lora_weights.safetensors");
    let bytes = fs::read(lora).expect("committed");
    let renamed = replaced(&bytes, b"attn1.to_k.lora.down", b"attn1.to_k.lora.dowm");
    fs::write(&path, renamed).expect("writable");
    let message = error(&path);
    assert!(message.contains("attn1.to_k.lora.down.weight"), "{message}");
    assert!(message.contains("attn1.to_k.lora.dowm.weight"), "{message}");
    // A rank that no machine has memory for, in a file of a few bytes.
    let hostile = br#"{"unet.x.lora.down.weight":{"dtype":"F32","shape":[1152921504606846975,0],"data_offsets":[0,0]}}"#;
    let length = (hostile.len() as u64).to_le_bytes();
    fs::write(&path, [&length[..], hostile].concat()).expect("writable");
    assert!(error(&path).contains("lora.safetensors"));
    fs::write(&path, &bytes[..bytes.len() / 2]).expect("writable");
    assert!(error(&path).contains("lora.safetensors"));
}

/// The first occurrence of `from` replaced by `to`, of the same length.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes
        .windows(from.len())
        .position(|window| window == from)
        .expect("there");
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/tiny-sd")
}

fn pipeline() -> StableDiffusion {
    StableDiffusion::open(model(), LoadOptions::new(Device::flex())).expect("the embedded model")
}

/// A short run of the embedded model.
fn request(folder: &Path) -> TrainingRequest {
    let picture = image::open(model().join("references/green_cat.png")).expect("committed");
    let subject = with_rare_word("a cat", "cat", RARE_WORD).expect("a cat");
    TrainingRequest {
        class_pictures: 2,
        class_steps: 2,
        rank: 2,
        steps: 4,
        batch: 1,
        checkpoint_every: 2,
        learning_rate: 1e-3,
        ..TrainingRequest::new(vec![picture], subject, "a cat", folder)
    }
}

/// The files of a run, with their content.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for folder in [folder.to_owned(), folder.join("class")] {
        let entries = fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("readable").path());
        files.extend(entries.filter(|path| path.is_file()));
    }
    files.sort();
    let named = |path: PathBuf| {
        let bytes = fs::read(&path).expect("readable");
        (path.strip_prefix(folder).expect("within").to_owned(), bytes)
    };
    files.into_iter().map(named).collect()
}

/// What a kill leaves: `train` is unwound in the middle of a run, at the moment that `at` picks.
fn killed(pipeline: &StableDiffusion, request: &TrainingRequest, at: impl Fn(Progress) -> bool) {
    let run = || {
        let result = train(pipeline, request, &mut |progress| {
            if at(progress) {
                std::panic::resume_unwind(Box::new("killed"));
            }
        });
        result.map(drop)
    };
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    assert!(result.is_err(), "the run was not killed");
}

#[test]
fn a_run_that_was_killed_ends_as_one_that_was_not() {
    let pipeline = pipeline();
    let undisturbed = tempfile::tempdir().expect("a folder");
    let trained = train(&pipeline, &request(undisturbed.path()), &mut |_| ()).expect("a run");
    let read = LowRank::open(&trained.path, &pipeline.unet().expect("loaded")).expect("a LoRA");
    assert!(read.factors().count() > 0, "a LoRA of the UNet");
    let expected = files(undisturbed.path());
    let names: Vec<_> = expected
        .iter()
        .map(|(name, _)| name.display().to_string())
        .collect();
    assert_eq!(
        names,
        [
            "checkpoint.safetensors",
            "class/0000.png",
            "class/0001.png",
            "lock",
            "loss.jsonl",
            "pytorch_lora_weights.safetensors",
            "training.json"
        ]
    );

    let folder = tempfile::tempdir().expect("a folder");
    let again = request(folder.path());
    let step =
        |wanted| move |progress| matches!(progress, Progress::Step { done, .. } if done == wanted);
    killed(&pipeline, &again, |progress| {
        matches!(progress, Progress::Class { .. })
    });
    // Before the first checkpoint, between two, and with half a row behind the last.
    killed(&pipeline, &again, step(1));
    killed(&pipeline, &again, step(3));
    let rows = folder.path().join("loss.jsonl");
    let mut torn = fs::read(&rows).expect("rows");
    torn.extend(b"{\"step\":4,\"lo");
    fs::write(&rows, torn).expect("writable");
    again.cancel.cancel();
    let cancelled = train(&pipeline, &again, &mut |_| ()).expect_err("cancelled");
    assert!(
        matches!(cancelled, TrainingError::Cancelled { step: 2 }),
        "{cancelled}"
    );
    train(&pipeline, &request(folder.path()), &mut |_| ()).expect("the rest");
    let found = files(folder.path());
    assert_eq!(found.len(), expected.len());
    for ((name, found), (_, expected)) in found.iter().zip(&expected) {
        assert!(found == expected, "{}: other bytes", name.display());
    }

    let rows = fs::read_to_string(rows).expect("rows");
    let steps: Vec<Value> = rows
        .lines()
        .map(|row| serde_json::from_str(row).expect("JSON"))
        .collect();
    assert_eq!((steps.len(), trained.losses.len()), (4, 4));
    for (row, losses) in steps.iter().zip(trained.losses) {
        let number = |name: &str| row[name].as_f64().expect("a number") as f32;
        let read = (number("loss"), Some(number("prior_loss")));
        assert_eq!(read, (losses.instance, losses.prior));
    }
    assert!(
        steps
            .iter()
            .all(|row| row["loss"].is_number() && row["prior_loss"].is_number())
    );
    other_settings_are_refused(&pipeline, &folder);
    the_result_draws_other_pictures(&pipeline, &folder);
}

/// A folder holds one run.
fn other_settings_are_refused(pipeline: &StableDiffusion, folder: &TempDir) {
    let error = |request: &TrainingRequest| {
        let error = train(pipeline, request, &mut |_| ()).expect_err("another run");
        chain(&error)
    };
    let request = request(folder.path());
    let other = TrainingRequest {
        learning_rate: 0.5,
        ..request.clone()
    };
    let message = error(&other);
    assert!(
        message.contains("learning_rate = 0.001, this one has 0.5"),
        "{message}"
    );
    let fewer = TrainingRequest {
        steps: 3,
        ..request.clone()
    };
    assert!(error(&fewer).contains("steps = 4, this one has 3"));
    let lock = fs::File::open(folder.path().join("lock")).expect("a lock");
    lock.lock().expect("nobody trains");
    assert!(error(&request).contains("lock: "), "{}", error(&request));
    drop(lock);
    let rows = folder.path().join("loss.jsonl");
    let kept = fs::read(&rows).expect("rows");
    fs::write(&rows, &kept[..kept.len() - 5]).expect("writable");
    let message = error(&request);
    assert!(
        message.contains("the row of step 4 is missing"),
        "{message}"
    );
    fs::write(&rows, &kept).expect("writable");
    let checkpoint = folder.path().join("checkpoint.safetensors");
    let kept = fs::read(&checkpoint).expect("a checkpoint");
    fs::write(&checkpoint, &kept[..kept.len() - 5]).expect("writable");
    assert!(error(&request).contains("checkpoint.safetensors"));
    fs::write(&checkpoint, &kept).expect("writable");
}

/// The trained LoRA acts, and the pipeline it was trained with is as before.
fn the_result_draws_other_pictures(pipeline: &StableDiffusion, folder: &TempDir) {
    let lora = folder.path().join("pytorch_lora_weights.safetensors");
    let options = LoadOptions::new(Device::flex());
    let tuned = load_with_lora(&model(), options, &lora).expect("a LoRA of the model");
    let request = Request::new("a qxzj cat").mode(Mode::TextOnly).steps(2);
    let latents = |pipeline: &StableDiffusion| {
        let generation = pipeline.generate(&request, &mut Silent).expect("a picture");
        generation.latents.into_data()
    };
    let before = latents(&self::pipeline());
    latents(pipeline).assert_eq(&before, true);
    assert_ne!(
        latents(&tuned).try_to_vec::<f32>(),
        before.try_to_vec::<f32>()
    );
}

#[test]
fn requests_that_cannot_be_trained_are_errors() {
    let pipeline = pipeline();
    let folder = tempfile::tempdir().expect("a folder");
    let inside = folder.path().join("run");
    let asked = request(&inside);
    let cases: [(TrainingRequest, &str); 7] = [
        (
            TrainingRequest {
                pictures: Vec::new(),
                ..asked.clone()
            },
            "the number of pictures is 0",
        ),
        (
            TrainingRequest {
                rank: 0,
                ..asked.clone()
            },
            "the rank is 0",
        ),
        (
            TrainingRequest {
                rank: 49,
                ..asked.clone()
            },
            "the rank is 49, it must be at most 48",
        ),
        (
            TrainingRequest {
                batch: 0,
                ..asked.clone()
            },
            "the batch is 0",
        ),
        (
            TrainingRequest {
                steps: usize::MAX,
                ..asked.clone()
            },
            "at most 16777216",
        ),
        (
            TrainingRequest {
                learning_rate: f64::NAN,
                ..asked.clone()
            },
            "the learning rate is NaN",
        ),
        (
            TrainingRequest {
                checkpoint_every: 0,
                ..asked.clone()
            },
            "between checkpoints is 0",
        ),
    ];
    for (request, expected) in cases {
        let error = train(&pipeline, &request, &mut |_| ()).expect_err(expected);
        assert!(chain(&error).contains(expected), "{}", chain(&error));
    }
    assert!(!inside.exists(), "nothing was written");
    let autodiff = LoadOptions::new(Device::flex().autodiff());
    let autodiff = StableDiffusion::open(model(), autodiff).expect("opens");
    let error = train(&autodiff, &asked, &mut |_| ()).expect_err("on autodiff");
    assert!(
        error
            .to_string()
            .contains("is on a device with autodiff already"),
        "{error}"
    );

    // A rate that breaks the numbers: the step is named, and the folder has the checkpoint before it.
    let wild = TrainingRequest {
        learning_rate: 1e30,
        ..asked
    };
    let error = train(&pipeline, &wild, &mut |_| ()).expect_err("not finite");
    assert!(
        matches!(error, TrainingError::NotFinite { step: 2..=4 }),
        "{error}"
    );
}
