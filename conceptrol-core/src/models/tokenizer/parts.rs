//! The parts of a T5 `tokenizer.json`, from a list of what such files hold.
//!
//! The library that runs them believes what a file says: it reserves what a table claims, looks up where a table points,
//! and replaces as often as it is told. So the file is read here, and the library gets only parts that are known, that
//! always give the same tokens, and that make a text at most [`MOST_GROWTH`] times longer.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{
    Lowercase, NFC, NFD, NFKC, NFKD, Nmt, Precompiled, Replace, Sequence, Strip,
};
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::sequence::Sequence as PreSequence;
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::{
    AddedToken, NormalizedString, Normalizer, NormalizerWrapper, PreTokenizerWrapper, Tokenizer,
};

use super::bounded::List;
use super::charsmap;
use crate::message::shown;

/// Bytes of a piece of the vocabulary, for each of which the library keeps a level of a tree, and of all pieces.
const LONGEST_PIECE: usize = 256;
const MOST_PIECE_BYTES: usize = 4 << 20;
/// Tokens beside the vocabulary; T5 has a hundred.
const MOST_ADDED: usize = 1 << 14;
/// Parts in a sequence.
const MOST_PARTS: usize = 8;
/// How many times longer normalising may make a text. SentencePiece's table can make it 11 times.
const MOST_GROWTH: f64 = 64.0;
/// Growth of Unicode's normal forms: U+0390 has 2 bytes and becomes 6, U+FDFA 3 and 33.
const CANONICAL_GROWTH: f64 = 3.0;
const COMPATIBLE_GROWTH: f64 = 11.0;
/// Growth of lower case: U+023A has 2 bytes and becomes 3.
const LOWER_GROWTH: f64 = 1.5;
/// The pattern of converted SentencePiece models, which matches at least two bytes. Others may take for ever.
const SPACES: &str = " {2,}";

/// The part of `tokenizer.json` that matters. Padding, truncation and the end token are the tokenizer's own business.
#[derive(Debug, Deserialize)]
pub(super) struct Parts {
    model: Model,
    normalizer: Option<Part>,
    pre_tokenizer: Option<Part>,
    #[serde(default)]
    added_tokens: List<Added>,
}

#[derive(Debug, Deserialize)]
struct Model {
    vocab: List<(String, f64)>,
    unk_id: Option<usize>,
    #[serde(default)]
    byte_fallback: bool,
}

#[derive(Debug, Deserialize)]
struct Added {
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    normalized: bool,
    #[serde(default)]
    special: bool,
}

/// A normaliser or pre-tokeniser: its kind, and the fields of all kinds.
#[derive(Debug, Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    #[serde(alias = "pretokenizers")]
    normalizers: Option<List<Self>>,
    precompiled_charsmap: Option<String>,
    #[serde(default)]
    strip_left: bool,
    #[serde(default)]
    strip_right: bool,
    pattern: Option<Pattern>,
    content: Option<String>,
    replacement: Option<char>,
    add_prefix_space: Option<bool>,
    prepend_scheme: Option<PrependScheme>,
    split: Option<bool>,
}

#[derive(Debug, Deserialize)]
enum Pattern {
    String(String),
    Regex(String),
}

impl Parts {
    /// The library's tokenizer of these parts.
    pub(super) fn build(self) -> Result<Tokenizer, String> {
        let normalizer = self.normalizer.map(normalizer).transpose()?;
        let pre_tokenizer = self.pre_tokenizer.map(pre_tokenizer).transpose()?;
        let added = added(self.added_tokens.0, normalizer.as_ref())?;
        let mut tokenizer = Tokenizer::new(self.model.build()?);
        tokenizer
            .with_normalizer(normalizer)
            .with_pre_tokenizer(pre_tokenizer)
            .add_tokens(&added);
        Ok(tokenizer)
    }
}

impl Model {
    fn build(self) -> Result<Unigram, String> {
        let unusual = |piece: &&(String, f64)| piece.0.is_empty() || piece.0.len() > LONGEST_PIECE;
        if let Some((piece, _)) = self.vocab.0.iter().find(unusual) {
            return Err(format!(
                "a piece of its vocabulary has {} bytes, 1 to {LONGEST_PIECE} are expected",
                piece.len()
            ));
        }
        let bytes: usize = self.vocab.0.iter().map(|(piece, _)| piece.len()).sum();
        if bytes > MOST_PIECE_BYTES {
            return Err(format!(
                "its vocabulary has {bytes} bytes, more than {MOST_PIECE_BYTES}"
            ));
        }
        Unigram::from(self.vocab.0, self.unk_id, self.byte_fallback).map_err(|e| e.to_string())
    }
}

/// The normaliser, if what it makes of a text is bounded.
fn normalizer(part: Part) -> Result<NormalizerWrapper, String> {
    let parts = part.steps();
    if parts.len() > MOST_PARTS {
        return Err(too_many("normalizers", parts.len()));
    }
    let mut growth = 1.0;
    let mut steps = Vec::new();
    for part in parts {
        let (step, its_growth) = part.normalizer()?;
        growth *= its_growth;
        steps.push(step);
    }
    if growth > MOST_GROWTH {
        return Err(format!(
            "its normalizers can make a text {growth:.0} times longer, at most {MOST_GROWTH} is accepted"
        ));
    }
    Ok(Sequence::new(steps).into())
}

fn pre_tokenizer(part: Part) -> Result<PreTokenizerWrapper, String> {
    let parts = part.steps();
    if parts.len() > MOST_PARTS {
        return Err(too_many("pre-tokenizers", parts.len()));
    }
    let steps = parts.into_iter().map(Part::pre_tokenizer);
    Ok(PreSequence::new(steps.collect::<Result<_, _>>()?).into())
}

fn too_many(what: &str, count: usize) -> String {
    format!("{count} {what} are more than the {MOST_PARTS} a tokenizer may have")
}

impl Part {
    /// The parts of a sequence, or the only one.
    fn steps(self) -> Vec<Self> {
        match self.normalizers {
            Some(steps) if self.kind == "Sequence" => steps.0,
            _ => vec![self],
        }
    }

    /// One step of the normaliser, and how many times longer it can make a text.
    fn normalizer(self) -> Result<(NormalizerWrapper, f64), String> {
        Ok(match self.kind.as_str() {
            "Precompiled" => {
                let table = self.precompiled_charsmap.unwrap_or_default();
                let wrong = |reason: String| format!("its precompiled_charsmap: {reason}");
                let table = STANDARD.decode(table).map_err(|e| wrong(e.to_string()))?;
                let growth = charsmap::check(&table).map_err(wrong)?;
                let table = Precompiled::from(&table).map_err(|e| wrong(e.to_string()))?;
                (table.into(), growth)
            }
            "Strip" => (Strip::new(self.strip_left, self.strip_right).into(), 1.0),
            "Nmt" => (Nmt.into(), 1.0),
            "Lowercase" => (Lowercase.into(), LOWER_GROWTH),
            "NFC" => (NFC.into(), CANONICAL_GROWTH),
            "NFD" => (NFD.into(), CANONICAL_GROWTH),
            "NFKC" => (NFKC.into(), COMPATIBLE_GROWTH),
            "NFKD" => (NFKD.into(), COMPATIBLE_GROWTH),
            "Replace" => self.replace()?,
            other => return Err(format!("its normalizer `{}` is not known", shown(other))),
        })
    }

    fn replace(self) -> Result<(NormalizerWrapper, f64), String> {
        let content = self.content.unwrap_or_default();
        let (pattern, shortest) = match self.pattern {
            Some(Pattern::String(text)) if !text.is_empty() => {
                let length = text.len();
                (ReplacePattern::String(text), length)
            }
            Some(Pattern::Regex(pattern)) if pattern == SPACES => {
                (ReplacePattern::Regex(pattern), 2)
            }
            Some(Pattern::String(pattern) | Pattern::Regex(pattern)) => {
                return Err(format!(
                    "its normalizer replaces `{}`: only texts and `{SPACES}` are known",
                    shown(&pattern)
                ));
            }
            None => return Err("its normalizer `Replace` has no pattern".to_owned()),
        };
        let growth = (content.len() as f64 / shortest as f64).max(1.0);
        let replace = Replace::new(pattern, content).map_err(|error| error.to_string())?;
        Ok((replace.into(), growth))
    }

    fn pre_tokenizer(self) -> Result<PreTokenizerWrapper, String> {
        match self.kind.as_str() {
            "WhitespaceSplit" => Ok(WhitespaceSplit.into()),
            "Metaspace" => {
                let scheme = match (self.prepend_scheme, self.add_prefix_space) {
                    (Some(scheme), None | Some(true)) => scheme,
                    (None, None | Some(true)) => PrependScheme::Always,
                    (None | Some(PrependScheme::Never), Some(false)) => PrependScheme::Never,
                    (Some(_), Some(false)) => {
                        return Err("its add_prefix_space and prepend_scheme disagree".to_owned());
                    }
                };
                let replacement = self.replacement.unwrap_or('▁');
                Ok(Metaspace::new(replacement, scheme, self.split.unwrap_or(true)).into())
            }
            other => Err(format!("its pre-tokenizer `{}` is not known", shown(other))),
        }
    }
}

/// Tokens that are found before anything else.
fn added(
    tokens: Vec<Added>,
    normalizer: Option<&NormalizerWrapper>,
) -> Result<Vec<AddedToken>, String> {
    if tokens.len() > MOST_ADDED {
        return Err(format!(
            "{} added tokens are more than the {MOST_ADDED} there may be",
            tokens.len()
        ));
    }
    tokens
        .into_iter()
        .map(|token| token.build(normalizer))
        .collect()
}

impl Added {
    /// Refuses what is empty once it is normalised: that would be found between any two bytes.
    fn build(self, normalizer: Option<&NormalizerWrapper>) -> Result<AddedToken, String> {
        let mut text = NormalizedString::from(self.content.as_str());
        if let Some(normalizer) = normalizer.filter(|_| self.normalized) {
            normalizer.normalize(&mut text).map_err(|e| e.to_string())?;
        }
        if !(1..=LONGEST_PIECE).contains(&text.get().len()) {
            return Err(format!(
                "the added token `{}` has {} bytes, 1 to {LONGEST_PIECE} are expected",
                shown(&self.content),
                text.get().len()
            ));
        }
        Ok(AddedToken {
            content: self.content,
            single_word: self.single_word,
            lstrip: self.lstrip,
            rstrip: self.rstrip,
            normalized: self.normalized,
            special: self.special,
        })
    }
}
