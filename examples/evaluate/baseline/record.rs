//! What a folder is a run of, and by whom.

use std::{
    fs::{self, File},
    io,
};

use conceptrol_examples::folder::remove_unfinished;
use conceptrol_sd::unet::UNet2DConditionModel;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{TrainingError, TrainingRequest, file::write_whole, projections::weights};

/// The file that says what the folder is a run of.
const RECORD: &str = "training.json";

/// The file that is locked while a process trains in the folder.
const LOCK: &str = "lock";

impl TrainingRequest {
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
        // the folder is this process's now: whoever left a file unfinished is gone
        remove_unfinished(&self.folder, |_| true);
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
