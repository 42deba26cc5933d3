//! The factors of a LoRA: made, attached, merged, written and read.

use std::{collections::BTreeMap, path::Path};

use burn::{
    module::{LoraAdapter, Module, Param, ParamId},
    tensor::{DType, FloatDType, Tensor, TensorData},
};
use conceptrol_core::models::{
    noise::Generator,
    weights::{Checkpoint, Weights},
};
use conceptrol_sd::unet::UNet2DConditionModel;

use super::{
    TrainingError,
    file::write_tensors,
    projections::{projections, reparameterized},
};

/// What the names of a UNet's tensors begin with in a LoRA file.
const PREFIX: &str = "unet";

/// What the name of the factor ends with that is applied first.
const DOWN: &str = "lora.down.weight";
/// What the name of the other ends with.
const UP: &str = "lora.up.weight";

/// Low-rank updates `up down` of all attention projections of a UNet.
///
/// Their scale `alpha / rank` is 1, which is what diffusers takes where a file says nothing.
#[derive(Debug, Clone)]
pub(crate) struct LowRank {
    /// Of every projection `down`, `[rank, in]`, and `up`, `[out, rank]`, by their names in a file without the prefix.
    factors: BTreeMap<String, Tensor<2>>,
}

impl LowRank {
    /// Updates that change nothing yet, as peft begins: `up` is zero, `down` uniform within `1 / sqrt(in)` (Kaiming with
    /// `a = sqrt(5)`), drawn from `seed` in the order of names.
    pub(crate) fn new(unet: &UNet2DConditionModel, rank: usize, seed: u64) -> Self {
        let device = unet.devices().remove(0);
        let mut generator = Generator::new(seed);
        let factor = |(name, shape): (String, [usize; 2])| {
            let count = shape[0] * shape[1];
            let numbers = if name.ends_with(UP) {
                vec![0.0; count]
            } else {
                #[expect(clippy::cast_precision_loss, reason = "widths are exact in f32")]
                let bound = 1.0 / (shape[1] as f32).sqrt();
                let uniform = generator.rand(count).into_iter();
                uniform.map(|x| (2.0 * x - 1.0) * bound).collect()
            };
            let data = TensorData::new(numbers, shape);
            (name, Tensor::from_data(data, (&device, DType::F32)))
        };
        Self {
            factors: shapes(unet, rank).into_iter().map(factor).collect(),
        }
    }

    /// Reads `pytorch_lora_weights.safetensors` as [`save`](Self::save) writes it.
    ///
    /// # Errors
    ///
    /// [`TrainingError::Weights`] for a file that is damaged, or whose tensors are not those of this UNet at one rank.
    pub(crate) fn open(path: &Path, unet: &UNet2DConditionModel) -> Result<Self, TrainingError> {
        let checkpoint = Checkpoint::open(path)?;
        let down = checkpoint
            .tensors()
            .find(|tensor| tensor.name.ends_with(DOWN));
        let rank = down
            .and_then(|down| down.shape.first().copied())
            .unwrap_or(1);
        let device = unet.devices().remove(0);
        let weights = Weights::from_checkpoint(checkpoint, &device, FloatDType::F32);
        let unread = Unread::new(unet, rank, &weights.at(PREFIX));
        weights.finish()?;
        Ok(unread.read())
    }

    /// Writes `pytorch_lora_weights.safetensors` as `save_lora_weights` of diffusers does; complete or not at all.
    ///
    /// # Errors
    ///
    /// [`TrainingError::File`].
    pub(crate) fn save(&self, path: &Path) -> Result<(), TrainingError> {
        let factors = self.factors.iter();
        let named = factors.map(|(name, factor)| (format!("{PREFIX}.{name}"), factor.clone()));
        write_tensors(path, named)
    }

    /// The factors by name.
    pub(crate) fn factors(&self) -> impl Iterator<Item = (&str, &Tensor<2>)> {
        let factors = self.factors.iter();
        factors.map(|(name, factor)| (name.as_str(), factor))
    }

    /// Other factors under the same names.
    pub(super) fn map(&self, mut f: impl FnMut(&str, Tensor<2>) -> Tensor<2>) -> Self {
        let factors = self.factors.iter();
        Self {
            factors: factors
                .map(|(name, factor)| (name.clone(), f(name, factor.clone())))
                .collect(),
        }
    }

    /// The UNet with these updates, put together when they are used: gradients flow to the factors.
    pub(super) fn attached(&self, unet: UNet2DConditionModel) -> UNet2DConditionModel {
        let factor = |projection: &str, part: &str| {
            let factor = self.factors.get(&format!("{projection}.{part}"))?;
            Some(Param::initialized(ParamId::new(), factor.clone()))
        };
        reparameterized(unet, |projection, _| {
            // Burn's first factor is the left one: weights are stored as `[out, in]` here.
            Some(LoraAdapter {
                a: factor(projection, UP)?,
                b: factor(projection, DOWN)?,
                scale: 1.0,
            })
        })
    }

    /// The UNet with these updates in its weights. What is not updated is shared with the UNet that was given.
    pub(crate) fn merged(&self, unet: UNet2DConditionModel) -> UNet2DConditionModel {
        self.attached(unet).materialize()
    }
}

/// Factors that were taken from a file whose account is not closed: a tensor that does not fit has no memory yet.
pub(super) struct Unread(BTreeMap<String, Param<Tensor<2>>>);

impl Unread {
    /// Takes factors of this rank from `weights`, which the caller finishes.
    pub(super) fn new(unet: &UNet2DConditionModel, rank: usize, weights: &Weights) -> Self {
        let factor = |(name, shape): (String, [usize; 2])| {
            let factor = weights.tensor(&name, shape);
            (name, factor)
        };
        Self(shapes(unet, rank).into_iter().map(factor).collect())
    }

    /// The factors, of a file that was found to hold them.
    pub(super) fn read(self) -> LowRank {
        let factors = self.0.into_iter();
        LowRank {
            factors: factors.map(|(name, factor)| (name, factor.val())).collect(),
        }
    }
}

/// Names and shapes of the factors of every projection.
fn shapes(unet: &UNet2DConditionModel, rank: usize) -> BTreeMap<String, [usize; 2]> {
    let of_one = |(name, [d_out, d_in]): (String, [usize; 2])| {
        let factors = [(DOWN, [rank, d_in]), (UP, [d_out, rank])];
        factors.map(|(part, shape)| (format!("{name}.{part}"), shape))
    };
    projections(unet).into_iter().flat_map(of_one).collect()
}
