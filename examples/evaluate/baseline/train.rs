//! A run, from a request to a LoRA file.

use std::{path::PathBuf, sync::Arc};

use burn::tensor::FloatDType;
use conceptrol_core::pipeline::Family;
use conceptrol_sd::{StableDiffusion, pipeline::Reading, text::Prompts};

use super::{
    Losses, LowRank, Trainer, TrainingError, TrainingRequest, checkpoint,
    curve::{self, Curve},
    draws::Data,
    pictures::{Latents, of_class},
};

/// The name of LoRA files in diffusers.
const LORA_FILE: &str = "pytorch_lora_weights.safetensors";

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Progress {
    /// Pictures of the class are drawn; this many are there.
    Class {
        /// Pictures that are there.
        done: usize,
        /// Pictures wanted.
        total: usize,
    },
    /// A step was taken.
    Step {
        /// Finished steps.
        done: usize,
        /// Steps of the run.
        total: usize,
        /// Its losses.
        losses: Losses,
    },
}

/// What a run has made.
#[derive(Debug, Clone)]
pub(crate) struct TrainedLora {
    /// The file, in the layout of diffusers.
    pub(crate) path: PathBuf,
    /// The loss curve: one entry a step.
    pub(crate) losses: Vec<Losses>,
}

/// Trains a LoRA for a subject, or goes on with the run of the request's folder, or finds it finished.
///
/// The pipeline must be on a device without autodiff: the factors alone carry gradients. The folder then holds
/// `pytorch_lora_weights.safetensors`, `loss.jsonl` (step, loss, prior loss), `training.json`, the pictures of the class, and
/// the checkpoint.
///
/// # Errors
///
/// [`TrainingError`]; what a caller can get wrong is found before anything is computed.
pub(crate) fn train(
    pipeline: &StableDiffusion,
    request: &TrainingRequest,
    progress: &mut dyn FnMut(Progress),
) -> Result<TrainedLora, TrainingError> {
    request.check()?;
    supported(pipeline)?;
    let objective = pipeline.profile().scheduler.training()?;
    let unet = Arc::unwrap_or_clone(pipeline.unet()?);
    request.check_rank(&unet)?;
    let _claim = request.claim(&unet)?;

    let lora = LowRank::new(&unet, request.rank, request.seed);
    let timesteps = objective.timesteps();
    let mut trainer = Trainer::new(unet.clone(), lora, objective, request.rates());
    checkpoint::resume(&mut trainer, &unet, request.rank, &request.folder)?;
    if trainer.finished() > request.steps {
        return Err(TrainingError::OtherRun {
            folder: request.folder.clone(),
            name: "steps".to_owned(),
            found: trainer.finished().to_string(),
            expected: request.steps.to_string(),
        });
    }
    let mut curve = Curve::open(&request.folder, trainer.finished())?;
    if trainer.finished() < request.steps {
        let data = data(pipeline, request, timesteps, progress)?;
        steps(&mut trainer, &data, request, &mut curve, progress)?;
    }
    let path = request.folder.join(LORA_FILE);
    trainer.lora().save(&path)?;
    let losses = curve::read(&request.folder)?;
    Ok(TrainedLora { path, losses })
}

/// Takes the steps that are left, with a checkpoint now and then and at the end.
fn steps(
    trainer: &mut Trainer,
    data: &Data,
    request: &TrainingRequest,
    curve: &mut Curve,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), TrainingError> {
    while trainer.finished() < request.steps {
        let cancelled = request.cancel.is_cancelled();
        if !cancelled {
            let losses = trainer.step(&data.batch(trainer.finished()))?;
            curve.push(trainer.finished(), losses)?;
            progress(Progress::Step {
                done: trainer.finished(),
                total: request.steps,
                losses,
            });
        }
        let done = trainer.finished();
        let due =
            done.is_multiple_of(request.checkpoint_every) || done == request.steps || cancelled;
        if due && done > 0 {
            curve.sync()?;
            checkpoint::save(trainer, &request.folder)?;
        }
        if cancelled {
            return Err(TrainingError::Cancelled { step: done });
        }
    }
    Ok(())
}

/// Encodes pictures and prompts.
fn data(
    pipeline: &StableDiffusion,
    request: &TrainingRequest,
    timesteps: usize,
    progress: &mut dyn FnMut(Progress),
) -> Result<Data, TrainingError> {
    let mut latents = vec![Latents::encode(pipeline, &request.pictures)?];
    let mut prompts = vec![request.instance_prompt.as_str()];
    if request.class_pictures > 0 {
        let class = of_class(pipeline, request, progress)?;
        latents.push(Latents::encode(pipeline, &class)?);
        prompts.push(&request.class_prompt);
    }
    let encoders = pipeline.text_encoders()?;
    let prompts = Prompts {
        first: &prompts,
        second: &prompts,
        reading: Reading::default(),
        chunks: 1,
        clip_skip: 0,
    };
    let states = encoders.encode(pipeline.text_parts(), prompts)?;
    Ok(Data {
        latents,
        contexts: states.context.split(1, 0),
        batch: request.batch,
        timesteps,
        seed: request.seed,
        device: pipeline.profile().device.clone(),
    })
}

/// That the pipeline is one that is trained here.
fn supported(pipeline: &StableDiffusion) -> Result<(), TrainingError> {
    let profile = pipeline.profile();
    let refused = [
        ("is SDXL", pipeline.unet_config().added.is_some()),
        ("computes in 16 bits", profile.dtype != FloatDType::F32),
        (
            "is on a device with autodiff already",
            profile.device.is_autodiff(),
        ),
        ("has no attentions", profile.sites.iter().next().is_none()),
    ];
    match refused.into_iter().find(|(_, refused)| *refused) {
        Some((found, _)) => Err(TrainingError::Unsupported { found }),
        None => Ok(()),
    }
}
