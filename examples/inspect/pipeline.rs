//! A pipeline's folder as a whole.

use std::{fmt, io::ErrorKind, path::Path};

use conceptrol_core::{
    message::{shown, shown_path},
    models::{
        config::Fields,
        weights::{Checkpoint, WeightError},
    },
};
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
    absent: Vec<String>,
    /// Parts whose checkpoint cannot be read.
    broken: Vec<String>,
}

impl Summary {
    /// Whether every part it names can be read.
    pub(crate) fn is_complete(&self) -> bool {
        self.absent.is_empty() && self.broken.is_empty()
    }
}

/// Reads `model_index.json` of a folder; nothing if there is none.
pub(crate) fn summary(folder: &Path) -> Result<Option<Summary>, Error> {
    let path = folder.join("model_index.json");
    if !path.is_file() {
        return Ok(None);
    }
    let index = Fields::open("pipeline", &path)?;
    let named = |part: &&str| {
        let entry = index.value(part);
        entry.is_some_and(|entry| entry.get(1).is_some_and(Value::is_string))
    };
    let (mut parts, mut absent, mut broken) = (Vec::new(), Vec::new(), Vec::new());
    for part in PARTS.into_iter().filter(named) {
        let list = match Checkpoint::open(folder.join(part)) {
            Ok(_) => &mut parts,
            Err(WeightError::NoCheckpoint { .. }) => &mut absent,
            Err(WeightError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                &mut absent
            }
            // what is wrong with it is said where its checkpoint is looked at
            Err(_) => &mut broken,
        };
        list.push(part.to_owned());
    }
    Ok(Some(Summary {
        path: shown_path(folder).to_string(),
        class: index
            .optional_text("_class_name")?
            .unwrap_or("unnamed pipeline")
            .to_owned(),
        parts,
        absent,
        broken,
    }))
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}\n  pipeline    {}\n  parts       {}",
            self.path,
            shown(&self.class),
            self.parts.join(", ")
        )?;
        let lists = [("absent", &self.absent), ("broken", &self.broken)];
        let mut lists = lists.into_iter().filter(|(_, parts)| !parts.is_empty());
        lists.try_for_each(|(what, parts)| write!(f, "\n  {what}      {}", parts.join(", ")))
    }
}
