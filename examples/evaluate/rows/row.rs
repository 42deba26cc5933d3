//! The rows of each command. Numbers that do not exist (no such object in the picture) are `null`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A row says which unit of work it is of. Units are numbered alike whoever computes them.
pub(crate) trait Row: Serialize + DeserializeOwned {
    fn unit(&self) -> usize;
}

/// `blocks`: how well every site's map of a concept's words finds its object in one picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Attention {
    pub(crate) unit: usize,
    /// `scene`: a picture that was given, noised to every step; `generated`: a picture of the model's own.
    pub(crate) source: String,
    /// The scene's file, or the prompt and seed.
    pub(crate) picture: String,
    pub(crate) phrase: String,
    /// The training timestep of every step.
    pub(crate) timesteps: Vec<f64>,
    /// ROC-AUC against everything else: site -> one number a step.
    pub(crate) auc: BTreeMap<String, Vec<Option<f64>>>,
    /// The same against the other objects only.
    pub(crate) auc_of_objects: BTreeMap<String, Vec<Option<f64>>>,
}

impl Attention {
    /// A row without a phrase and numbers.
    pub(crate) fn empty(unit: usize, source: &str, picture: String, timesteps: Vec<f64>) -> Self {
        Self {
            unit,
            source: source.to_owned(),
            picture,
            phrase: String::new(),
            timesteps,
            auc: BTreeMap::new(),
            auc_of_objects: BTreeMap::new(),
        }
    }
}

/// What a picture was made with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) scale: f64,
    pub(crate) warmup: f64,
    pub(crate) steps: usize,
    pub(crate) guidance: f64,
}

/// The measures of a picture, each defined in `docs/evaluation.md`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PictureScores {
    /// Concept preservation, 0..=1.
    pub(crate) cp: f64,
    /// Prompt following, 0..=1.
    pub(crate) pf: f64,
    /// Cosine of the picture's and the reference's embeddings.
    pub(crate) clip_i: f64,
    /// Cosine of the picture's and the prompt's embeddings.
    pub(crate) clip_t: f64,
    /// Likeness of the other objects to the reference.
    pub(crate) leak: Option<f64>,
    /// Whether the concept's object is there.
    pub(crate) found: bool,
    /// Share of the other objects that are there.
    pub(crate) others_found: Option<f64>,
    /// Whether the setting is the one that was asked for.
    pub(crate) setting_right: Option<bool>,
}

/// `masks`, `sweep`, `adapters`, `baseline`: one picture. Rows of one unit are paired: same prompt, reference and seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Picture {
    pub(crate) unit: usize,
    /// `text only`, `vanilla`, `random`, `local`, `concept block`, `oracle`, `DreamBooth LoRA`, ...
    pub(crate) method: String,
    pub(crate) settings: Settings,
    pub(crate) prompt: String,
    pub(crate) subject: String,
    pub(crate) phrase: String,
    pub(crate) seed: u64,
    /// The picture's file, relative to the folder of the rows.
    pub(crate) file: String,
    /// The reference's file.
    pub(crate) reference: String,
    pub(crate) scores: PictureScores,
}

/// `concepts`: how well the concept block finds one concept in one generated picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Concept {
    pub(crate) unit: usize,
    pub(crate) concept: String,
    /// `object`, `scene` or `attribute`.
    pub(crate) kind: String,
    pub(crate) prompt: String,
    /// `first`, `middle` or `last`.
    pub(crate) position: String,
    /// Other things the prompt names.
    pub(crate) competitors: usize,
    pub(crate) seed: u64,
    /// `null` where the oracle does not find the concept in the picture.
    pub(crate) auc: Option<f64>,
}

/// `overhead`: the time of a step and the memory of one way to run a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Overhead {
    pub(crate) unit: usize,
    /// The processor or card.
    pub(crate) machine: String,
    /// `embedded`, `SD1.5, random weights`, ...
    pub(crate) model: String,
    pub(crate) backend: String,
    pub(crate) dtype: String,
    pub(crate) threads: usize,
    pub(crate) batch: usize,
    /// `text only`, `adapter`, `Conceptrol`, `Conceptrol, capture`.
    pub(crate) mode: String,
    /// Seconds of a step in each turn; turns of different modes alternate.
    pub(crate) seconds: Vec<f64>,
    /// The largest resident memory while it ran, in bytes, where the system tells.
    pub(crate) peak: Option<u64>,
}

/// `baseline`: one step of the training of a LoRA.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Baseline {
    pub(crate) unit: usize,
    pub(crate) subject: String,
    pub(crate) step: usize,
    pub(crate) loss: f64,
    /// The part of the loss that class pictures have.
    pub(crate) prior_loss: Option<f64>,
}

macro_rules! rows {
    ($($row:ty),*) => {$(
        impl Row for $row {
            fn unit(&self) -> usize {
                self.unit
            }
        }
    )*};
}

rows!(Attention, Picture, Concept, Overhead, Baseline);
