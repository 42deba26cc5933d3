//! What is asked for.

use std::path::PathBuf;

use conceptrol_core::{Cancel, models::image::RgbImage};
use conceptrol_sd::unet::UNet2DConditionModel;

use super::{TrainingError, checkpoint::MOST_STEPS, projections::projections, trainer::Rates};

/// A subject to be learnt from a few pictures.
#[derive(Debug, Clone)]
pub(crate) struct TrainingRequest {
    /// Pictures of the subject, usually 3 to 5.
    pub(crate) pictures: Vec<RgbImage>,
    /// What names the subject: a [rare word](super::RARE_WORD) before the word of its class, as "a qxzj dog".
    pub(crate) instance_prompt: String,
    /// What names its class: "a dog".
    pub(crate) class_prompt: String,
    /// Number of pictures of the class that the model draws to keep what it knows; 0 for no prior preservation.
    pub(crate) class_pictures: usize,
    /// Steps of the sampler for each of them.
    pub(crate) class_steps: usize,
    /// Weight of their loss.
    pub(crate) prior_weight: f64,
    /// Rank of the updates.
    pub(crate) rank: usize,
    /// Training steps.
    pub(crate) steps: usize,
    /// Rows of the subject in a step; as many of its class are added.
    pub(crate) batch: usize,
    /// The constant learning rate.
    pub(crate) learning_rate: f64,
    /// Decoupled weight decay.
    pub(crate) weight_decay: f32,
    /// Everything random follows from it.
    pub(crate) seed: u64,
    /// Steps between checkpoints.
    pub(crate) checkpoint_every: usize,
    /// The folder of the run, which is made if it is not there.
    pub(crate) folder: PathBuf,
    /// Stops the run.
    pub(crate) cancel: Cancel,
}

impl TrainingRequest {
    /// The settings for the embedded model; prior weight and weight decay are those of diffusers' script.
    pub(crate) fn new(
        pictures: Vec<RgbImage>,
        instance_prompt: impl Into<String>,
        class_prompt: impl Into<String>,
        folder: impl Into<PathBuf>,
    ) -> Self {
        Self {
            pictures,
            instance_prompt: instance_prompt.into(),
            class_prompt: class_prompt.into(),
            class_pictures: 32,
            class_steps: 30,
            prior_weight: 1.0,
            rank: 8,
            steps: 400,
            batch: 4,
            learning_rate: 4e-3,
            weight_decay: 1e-2,
            seed: 0,
            checkpoint_every: 25,
            folder: folder.into(),
            cancel: Cancel::default(),
        }
    }

    /// Checks everything that needs no model.
    pub(super) fn check(&self) -> Result<(), TrainingError> {
        let refuse = |name, value, expected: &str| Err(TrainingError::bad(name, value, expected));
        let counts = [
            ("the number of pictures", self.pictures.len()),
            ("the rank", self.rank),
            ("the number of steps", self.steps),
            ("the batch", self.batch),
            (
                "the number of steps between checkpoints",
                self.checkpoint_every,
            ),
        ];
        if let Some((name, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return refuse(name, "0".into(), "at least 1");
        }
        if self.steps > MOST_STEPS {
            let expected = format!("at most {MOST_STEPS}");
            return refuse("the number of steps", self.steps.to_string(), &expected);
        }
        if let Some(picture) = self.pictures.iter().find(|picture| picture.is_empty()) {
            let (width, height) = picture.dimensions();
            return refuse(
                "the size of a picture",
                format!("{width}x{height}"),
                "at least 1x1",
            );
        }
        let rates = [
            ("the learning rate", self.learning_rate),
            ("the weight of the prior", self.prior_weight),
            ("the weight decay", f64::from(self.weight_decay)),
        ];
        for (name, rate) in rates {
            if !(rate.is_finite() && rate >= 0.0) {
                return refuse(name, rate.to_string(), "finite and not negative");
            }
        }
        Ok(())
    }

    /// Checks what depends on the UNet.
    pub(super) fn check_rank(&self, unet: &UNet2DConditionModel) -> Result<(), TrainingError> {
        let projections = projections(unet);
        let narrowest = projections.iter().flat_map(|(_, shape)| *shape).min();
        let Some(narrowest) = narrowest.filter(|narrowest| self.rank > *narrowest) else {
            return Ok(());
        };
        let expected = format!("at most {narrowest}, the width of the narrowest projection");
        Err(TrainingError::bad(
            "the rank",
            self.rank.to_string(),
            expected,
        ))
    }

    /// How factors are changed.
    pub(super) const fn rates(&self) -> Rates {
        Rates {
            learning_rate: self.learning_rate,
            weight_decay: self.weight_decay,
            prior_weight: self.prior_weight,
        }
    }
}
