//! A byte-pair vocabulary and its merges, from either layout of files.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::TokenizerError;
use super::files::{malformed, read, read_json};

/// Merges a CLIP tokenizer reads at most: the vocabulary without 2 x 256 byte symbols and two special tokens.
const CLIP_MERGES: usize = 49_152 - 256 - 2;

/// What a byte-pair tokenizer learned.
#[derive(Debug)]
pub(super) struct Vocabulary {
    /// Where it was read from.
    pub(super) path: PathBuf,
    pub(super) ids: HashMap<String, u32>,
    /// Pair of ids -> rank of the merge (lower goes first) and the id of the result.
    pub(super) merges: HashMap<(u32, u32), (u32, u32)>,
}

/// The part of `tokenizer.json` that matters; normalisation is CLIP's whatever the file says.
#[derive(Deserialize)]
struct TokenizerJson {
    model: Model,
    #[serde(default)]
    added_tokens: Vec<Added>,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    vocab: HashMap<String, u32>,
    merges: Vec<Merge>,
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    content: String,
}

/// Older files write a merge as one string.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Line(String),
    Pair(String, String),
}

impl Merge {
    fn parts(&self) -> Option<(&str, &str)> {
        match self {
            Self::Line(line) => line.split_once(' '),
            Self::Pair(left, right) => Some((left, right)),
        }
    }
}

impl Vocabulary {
    /// Reads `vocab.json` + `merges.txt` or `tokenizer.json` of a folder, or the given `tokenizer.json`.
    pub(super) fn open(path: &Path) -> Result<Self, TokenizerError> {
        if path.is_file() {
            return Self::from_tokenizer_json(path);
        }
        let (vocab, merges) = (path.join("vocab.json"), path.join("merges.txt"));
        let whole = path.join("tokenizer.json");
        // The pair is what the reference reads; a folder without it has the single file.
        if whole.exists() && !(vocab.exists() && merges.exists()) {
            return Self::from_tokenizer_json(&whole);
        }
        Self::from_pair(&vocab, &merges)
    }

    fn from_pair(vocab: &Path, merges: &Path) -> Result<Self, TokenizerError> {
        let ids = read_json(
            vocab,
            "a CLIP tokenizer is vocab.json and merges.txt, or tokenizer.json",
        )?;
        let text = read(
            merges,
            "a CLIP tokenizer needs merges.txt beside vocab.json",
        )?;
        // The first line is a version comment.
        let lines = text.trim().lines().skip(1).take(CLIP_MERGES);
        let pairs = lines.enumerate().map(|(i, line)| {
            let mut parts = line.split_whitespace();
            match (parts.next(), parts.next(), parts.next()) {
                (Some(left), Some(right), None) => Ok((left, right)),
                _ => Err(format!("line {} is no pair of symbols: `{line}`", i + 2)),
            }
        });
        Self::new(merges, ids, pairs)
    }

    fn from_tokenizer_json(path: &Path) -> Result<Self, TokenizerError> {
        let TokenizerJson {
            model,
            added_tokens,
        } = read_json(path, "it holds the vocabulary")?;
        if let Some(kind) = model.kind.filter(|kind| kind != "BPE") {
            return Err(malformed(
                path,
                format!("its model is {kind}, CLIP's is BPE"),
            ));
        }
        let mut ids = model.vocab;
        ids.extend(
            added_tokens
                .into_iter()
                .map(|added| (added.content, added.id)),
        );
        let pairs = model.merges.iter().enumerate().map(|(i, merge)| {
            let no_pair = || format!("merge {i} is no pair of symbols");
            merge.parts().ok_or_else(no_pair)
        });
        Self::new(path, ids, pairs)
    }

    fn new<'a>(
        path: &Path,
        ids: HashMap<String, u32>,
        pairs: impl Iterator<Item = Result<(&'a str, &'a str), String>>,
    ) -> Result<Self, TokenizerError> {
        let id = |symbol: &str| {
            let unknown = || {
                malformed(
                    path,
                    format!("merges use `{symbol}`, which the vocabulary lacks"),
                )
            };
            ids.get(symbol).copied().ok_or_else(unknown)
        };
        let mut merges = HashMap::new();
        for (pair, rank) in pairs.zip(0..) {
            let (left, right) = pair.map_err(|reason| malformed(path, reason))?;
            let merged = id(&format!("{left}{right}"))?;
            merges.insert((id(left)?, id(right)?), (rank, merged));
        }
        Ok(Self {
            path: path.to_owned(),
            ids,
            merges,
        })
    }
}
