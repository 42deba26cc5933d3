//! Special tokens: start, end, padding, unknown, and any other that is never split.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Deserialize;

use super::error::TokenizerError;
use super::files::{malformed, read_json_if_present};
use super::vocabulary::Vocabulary;

/// CLIP's text window, start and end token included.
const CLIP_LENGTH: usize = 77;

/// A window longer than this is the "no limit" some configurations write (1e30).
const MAX_LENGTH: f64 = 8192.0;

/// Special tokens a configuration may add; textual inversions add a few dozen.
const MOST_ADDED: usize = 4096;

/// A special token is written plainly or with flags on how to split around it.
#[derive(Deserialize, Clone)]
#[serde(untagged)]
enum Named {
    Plain(String),
    Flagged { content: String },
}

impl Named {
    fn into_content(self) -> String {
        match self {
            Self::Plain(content) | Self::Flagged { content } => content,
        }
    }
}

/// The part of `tokenizer_config.json` and `special_tokens_map.json` that matters.
#[derive(Deserialize, Default)]
struct Config {
    bos_token: Option<Named>,
    eos_token: Option<Named>,
    unk_token: Option<Named>,
    pad_token: Option<Named>,
    model_max_length: Option<f64>,
    #[serde(default)]
    added_tokens_decoder: BTreeMap<u32, Named>,
}

/// The text window that a configuration's `model_max_length` is, if it limits anything: `least` tokens or more.
pub(super) fn window(model_max_length: Option<f64>, least: f64) -> Option<usize> {
    let length = model_max_length.filter(|length| (least..=MAX_LENGTH).contains(length));
    length.map(|length| length as usize)
}

/// Ids of the special tokens of a CLIP tokenizer.
#[derive(Debug)]
pub(super) struct Special {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) padding: u32,
    pub(super) unknown: u32,
    /// Texts that are one token wherever they appear, or several that were learnt together, longest first.
    pub(super) unsplit: Vec<(String, Vec<u32>)>,
    pub(super) length: usize,
}

impl Special {
    /// Reads `tokenizer_config.json` and `special_tokens_map.json` of a folder; what both leave out is as in CLIP.
    pub(super) fn open(folder: &Path, vocabulary: &Vocabulary) -> Result<Self, TokenizerError> {
        let file = |name| read_json_if_present::<Config>(&folder.join(name));
        let config = file("tokenizer_config.json")?.unwrap_or_default();
        let count = config.added_tokens_decoder.len();
        if count > MOST_ADDED {
            let reason =
                format!("{count} added tokens are more than the {MOST_ADDED} there may be");
            return Err(malformed(&folder.join("tokenizer_config.json"), reason));
        }
        let map = file("special_tokens_map.json")?.unwrap_or_default();

        let mut added: HashMap<String, u32> = older(folder)?;
        let decoder = config.added_tokens_decoder.into_iter();
        added.extend(decoder.map(|(id, named)| (named.into_content(), id)));
        let mut unsplit = added.clone();
        let mut role = |role, first: Option<Named>, second: Option<Named>| {
            let default = if role == "start" {
                "<|startoftext|>"
            } else {
                "<|endoftext|>"
            };
            let named = first
                .or(second)
                .map_or_else(|| default.to_owned(), Named::into_content);
            let id = vocabulary
                .ids
                .get(&named)
                .or_else(|| added.get(&named))
                .copied();
            let id = id.ok_or_else(|| TokenizerError::UnknownSpecial {
                path: vocabulary.path.clone(),
                role,
                token: named.clone(),
            })?;
            unsplit.insert(named, id);
            Ok(id)
        };
        let start = role("start", config.bos_token, map.bos_token)?;
        let end = role("end", config.eos_token, map.eos_token)?;
        let unknown = role("unknown", config.unk_token, map.unk_token)?;
        let padding = role("padding", config.pad_token, map.pad_token)?;

        let unsplit = unsplit
            .into_iter()
            .filter(|(text, _)| !text.is_empty())
            .map(|(text, id)| (text, vec![id]))
            .collect();
        let length = window(config.model_max_length, 3.0).unwrap_or(CLIP_LENGTH);
        let mut special = Self {
            start,
            end,
            padding,
            unknown,
            unsplit,
            length,
        };
        special.sort();
        Ok(special)
    }

    /// Adds a text that stands for these ids.
    pub(super) fn add(&mut self, text: &str, ids: Vec<u32>) {
        self.unsplit.push((text.to_owned(), ids));
        self.sort();
    }

    fn sort(&mut self) {
        (self.unsplit).sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    }
}

/// `added_tokens.json`, which older versions of transformers wrote in place of `added_tokens_decoder`.
fn older(folder: &Path) -> Result<HashMap<String, u32>, TokenizerError> {
    let path = folder.join("added_tokens.json");
    let added: HashMap<String, u32> = read_json_if_present(&path)?.unwrap_or_default();
    match added.len() {
        count if count > MOST_ADDED => {
            let reason =
                format!("{count} added tokens are more than the {MOST_ADDED} there may be");
            Err(malformed(&path, reason))
        }
        _ => Ok(added),
    }
}
