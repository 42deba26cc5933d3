//! What is asked for.

use std::{
    fs::{self, File},
    io,
    path::PathBuf,
};

use conceptrol_core::{Cancel, models::image::RgbImage};
use conceptrol_sd::unet::UNet2DConditionModel;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    TrainingError,
    checkpoint::MOST_STEPS,
    file::write_whole,
    projections::{projections, weights},
    trainer::Rates,
};

/// The file of a run's folder that says what it is a run of.
const RECORD: &str = "training.json";

/// The file of a run's folder that is locked while a process trains there.
const LOCK: &str = "lock";

/// A subject to be learnt from a few pictures.
#[derive(Debug, Clone)]
pub(crate) struct TrainingRequest {
    /// Pictures of the subject, usually 3 to 5.
    pub(crate) pictures: Vec<RgbImage>,
    /// What names the subject: a rare word before the word of its class, as "a sks dog".
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

    /// Makes the folder a run of this request, or finds that it is one already. It belongs to this process until the claim
    /// is dropped.
    ///
    /// # Errors
    ///
    /// [`TrainingError::OtherRun`] with the first setting that differs, [`TrainingError::File`] for files that cannot be read
    /// or written, and a folder that another process trains in.
    pub(super) fn claim(&self, unet: &UNet2DConditionModel) -> Result<File, TrainingError> {
        fs::create_dir_all(&self.folder).map_err(TrainingError::at(&self.folder))?;
        let path = self.folder.join(LOCK);
        let lock = File::create(&path).map_err(TrainingError::at(&path))?;
        let locked = lock.try_lock().map_err(io::Error::from);
        locked.map_err(TrainingError::at(&path))?;
        self.settle(unet)?;
        Ok(lock)
    }

    /// Writes the record, or compares it with the one that is there.
    fn settle(&self, unet: &UNet2DConditionModel) -> Result<(), TrainingError> {
        let (path, record) = (self.folder.join(RECORD), self.record(unet));
        if !path.exists() {
            let text = format!("{:#}\n", Value::Object(record));
            return write_whole(&path, text.as_bytes());
        }
        let text = fs::read_to_string(&path).map_err(TrainingError::at(&path))?;
        let found: Map<String, Value> =
            serde_json::from_str(&text).map_err(|error| TrainingError::Damaged {
                path,
                reason: error.to_string(),
            })?;
        for (name, expected) in record {
            let found = found.get(&name).unwrap_or(&Value::Null);
            if *found != expected {
                return Err(TrainingError::OtherRun {
                    folder: self.folder.clone(),
                    name,
                    found: found.to_string(),
                    expected: expected.to_string(),
                });
            }
        }
        Ok(())
    }

    /// Everything a step depends on. The number of steps is not among it: a run can go on.
    fn record(&self, unet: &UNet2DConditionModel) -> Map<String, Value> {
        let mut pictures = Sha256::new();
        for picture in &self.pictures {
            pictures.update(picture.width().to_le_bytes());
            pictures.update(picture.as_raw());
        }
        // The matrices that are adapted stand for the model: where its folder is says nothing.
        let mut model = Sha256::new();
        weights(unet, |matrix| model.update(matrix.into_data().as_bytes()));
        let record = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "model": hex(model),
            "pictures": hex(pictures),
            "instance_prompt": self.instance_prompt,
            "class_prompt": self.class_prompt,
            "class_pictures": self.class_pictures,
            "class_steps": self.class_steps,
            "prior_weight": self.prior_weight,
            "rank": self.rank,
            "batch": self.batch,
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay,
            "seed": self.seed,
        });
        match record {
            Value::Object(record) => record,
            _ => unreachable!("the record is written as an object"),
        }
    }
}

fn hex(digest: Sha256) -> String {
    let digest = digest.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
