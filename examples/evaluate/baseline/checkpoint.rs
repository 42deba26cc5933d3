//! The state of a run on the disk.

use std::path::{Path, PathBuf};

use burn::{
    module::Param,
    optim::{AdamWState, AdaptiveMomentumState},
    tensor::{DType, Device, FloatDType, Tensor},
};
use conceptrol_core::models::weights::Weights;
use conceptrol_sd::unet::UNet2DConditionModel;

use super::{TrainingError, file::write_tensors, low_rank::Unread, trainer::Trainer};

/// Steps are stored in f32, which counts exactly to here.
pub(super) const MOST_STEPS: usize = 1 << 24;

const STEP: &str = "step";
const MOMENTS: [&str; 2] = ["moment_1", "moment_2"];

/// Where a run's state is.
fn path(folder: &Path) -> PathBuf {
    folder.join("checkpoint.safetensors")
}

/// Writes factors, moments and the number of finished steps; the checkpoint before is replaced when this one is complete.
pub(super) fn save(trainer: &Trainer, folder: &Path) -> Result<(), TrainingError> {
    let factors = trainer.lora.factors();
    let factors = factors.map(|(name, factor)| (name.to_owned(), factor.clone()));
    let moments = trainer.moments.iter().flat_map(|(name, state)| {
        let state = &state.momentum;
        let moments = [state.moment_1.clone(), state.moment_2.clone()];
        let named = MOMENTS.map(|moment| format!("{name}.{moment}"));
        named.into_iter().zip(moments)
    });
    let device = factors_device(trainer);
    #[expect(clippy::cast_precision_loss, reason = "at most MOST_STEPS")]
    let step = Tensor::full([1, 1], trainer.step as f32, (&device, DType::F32));
    let step = std::iter::once((STEP.to_owned(), step));
    write_tensors(&path(folder), factors.chain(moments).chain(step))
}

/// Puts a trainer where the checkpoint of the folder is, if there is one.
pub(super) fn resume(
    trainer: &mut Trainer,
    unet: &UNet2DConditionModel,
    rank: usize,
    folder: &Path,
) -> Result<(), TrainingError> {
    let path = path(folder);
    if !path.exists() {
        return Ok(());
    }
    let device = factors_device(trainer);
    let weights = Weights::open(&path, &device, FloatDType::F32)?;
    let unread = Unread::new(unet, rank, &weights);
    let step = weights.tensor(STEP, [1, 1]);
    let factors = trainer
        .lora
        .factors()
        .map(|(name, factor)| (name, factor.dims()));
    let moments = factors.map(|(name, shape)| {
        let moments = MOMENTS.map(|moment| weights.tensor(&format!("{name}.{moment}"), shape));
        (name.to_owned(), moments)
    });
    let moments: Vec<(String, [Param<Tensor<2>>; 2])> = moments.collect();
    weights.finish()?;
    let lora = unread.read();
    let time = steps(step.val().into_scalar::<f32>()).ok_or_else(|| TrainingError::Damaged {
        path,
        reason: "the number of steps is none".to_owned(),
    })?;
    let state = |[moment_1, moment_2]: [Param<Tensor<2>>; 2]| {
        AdamWState::new(AdaptiveMomentumState {
            time,
            moment_1: moment_1.val(),
            moment_2: moment_2.val(),
            max_moment_2: None,
        })
    };
    trainer.moments = (moments.into_iter())
        .map(|(name, moments)| (name, state(moments)))
        .collect();
    trainer.lora = lora;
    trainer.step = time;
    Ok(())
}

/// A whole number of steps that were taken.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within 1..=MOST_STEPS"
)]
fn steps(stored: f32) -> Option<usize> {
    let whole = stored.fract() == 0.0 && (1.0..=16_777_216.0).contains(&stored);
    whole.then_some(stored as usize)
}

fn factors_device(trainer: &Trainer) -> Device {
    let mut factors = trainer.lora.factors();
    let (_, factor) = factors.next().expect("a UNet with attentions");
    factor.device()
}
