//! A pipeline's folder as a whole.

use std::{collections::BTreeMap, fmt, path::Path};

use conceptrol_core::models::{config::read_config, weights::Checkpoint};
use serde_json::Value;

use crate::identify::Error;

/// Parts with weights that a pipeline of this workspace needs where `model_index.json` names them.
const PARTS: [&str; 6] = [
    "unet",
    "transformer",
    "vae",
    "text_encoder",
    "text_encoder_2",
    "image_encoder",
];

/// What `model_index.json` promises.
#[derive(Debug)]
pub(crate) struct Summary {
    path: String,
    class: String,
    parts: Vec<String>,
    /// Parts it names that have no checkpoint.
    pub(crate) absent: Vec<String>,
}

/// Reads `model_index.json` of a folder; nothing if there is none.
pub(crate) fn summary(folder: &Path) -> Result<Option<Summary>, Error> {
    let path = folder.join("model_index.json");
    if !path.is_file() {
        return Ok(None);
    }
    let index: BTreeMap<String, Value> = read_config(&path)?;
    let named = |part: &&str| {
        index
            .get(*part)
            .is_some_and(|entry| entry.get(1).is_some_and(Value::is_string))
    };
    let parts = PARTS.into_iter().filter(named).map(str::to_owned);
    let (parts, absent) = parts.partition(|part| Checkpoint::open(folder.join(part)).is_ok());
    Ok(Some(Summary {
        path: folder.display().to_string(),
        class: index
            .get("_class_name")
            .and_then(Value::as_str)
            .unwrap_or("unnamed pipeline")
            .to_owned(),
        parts,
        absent,
    }))
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}\n  pipeline    {}\n  parts       {}",
            self.path,
            self.class,
            self.parts.join(", ")
        )?;
        match self.absent.as_slice() {
            [] => Ok(()),
            absent => write!(f, "\n  absent      {}", absent.join(", ")),
        }
    }
}
