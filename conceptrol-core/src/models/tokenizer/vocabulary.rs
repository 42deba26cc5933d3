//! A byte-pair vocabulary and its merges, from either layout of files.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

use super::bounded::{List, Object};
use super::error::TokenizerError;
use super::files::{VOCABULARY_LIMIT, malformed, parse, read, read_json};
use super::model::check_model;

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
    added_tokens: List<Added>,
}

#[derive(Deserialize)]
struct Model {
    vocab: Object<u32>,
    merges: List<Merge>,
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    content: String,
}

/// Two symbols that become one.
struct Merge(String, String);

impl<'de> Deserialize<'de> for Merge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Symbols;

        impl<'de> Visitor<'de> for Symbols {
            type Value = Merge;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a pair of symbols")
            }

            /// Older files write a merge as one string.
            fn visit_str<E: Error>(self, line: &str) -> Result<Merge, E> {
                let (left, right) = line
                    .split_once(' ')
                    .ok_or_else(|| E::custom("a merge is no pair of symbols"))?;
                Ok(Merge(left.to_owned(), right.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Merge, A::Error> {
                match (list.next_element()?, list.next_element()?) {
                    (Some(left), Some(right)) => Ok(Merge(left, right)),
                    _ => Err(A::Error::custom("a merge is no pair of symbols")),
                }
            }
        }

        deserializer.deserialize_any(Symbols)
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
        let Object(ids) = read_json(
            vocab,
            "a CLIP tokenizer is vocab.json and merges.txt, or tokenizer.json",
            VOCABULARY_LIMIT,
        )?;
        let text = read(
            merges,
            "a CLIP tokenizer needs merges.txt beside vocab.json",
            VOCABULARY_LIMIT,
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
        let text = read(path, "it holds the vocabulary", VOCABULARY_LIMIT)?;
        check_model(path, &text, "BPE")?;
        let TokenizerJson {
            model,
            added_tokens,
        } = parse(path, &text)?;
        let Object(mut ids) = model.vocab;
        let added = added_tokens.0.into_iter();
        ids.extend(added.map(|added| (added.content, added.id)));
        let merges = model.merges.0.iter();
        let pairs = merges.map(|Merge(left, right)| Ok((left.as_str(), right.as_str())));
        Self::new(path, ids, pairs)
    }

    pub(super) fn new<'a>(
        path: &Path,
        ids: Vec<(String, u32)>,
        pairs: impl Iterator<Item = Result<(&'a str, &'a str), String>>,
    ) -> Result<Self, TokenizerError> {
        let ids: HashMap<String, u32> = ids.into_iter().collect();
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
