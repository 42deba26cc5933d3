//! The vocabulary that every published CLIP has, for models that come without tokenizer files.
//!
//! `clip_merges.txt` holds the merges of `bpe_simple_vocab_16e6.txt` (Copyright (c) 2021 OpenAI, MIT licence,
//! `github.com/openai/CLIP`). The vocabulary follows from them: the symbols of the bytes, the same at the end of a word, what
//! each merge makes, the start and the end token.

use std::path::Path;

use serde_json::json;

use super::{
    bpe::byte_symbol, clip::ClipTokenizer, normalize::Normalizer, special::Special,
    vocabulary::Vocabulary,
};

const MERGES: &str = include_str!("clip_merges.txt");
/// What errors call the vocabulary.
const NAME: &str = "the published CLIP vocabulary";
const START: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";
/// The text window.
const LENGTH: usize = 77;

/// What prompts are filled up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClipPadding {
    /// The end token: Stable Diffusion 1.x, FLUX, and the first encoder of SDXL.
    EndToken,
    /// `!`, which is then no word any more: the second encoder of SDXL.
    ExclamationMark,
}

impl ClipTokenizer {
    /// The tokenizer of every published CLIP.
    ///
    /// ```
    /// use conceptrol_core::models::tokenizer::{ClipPadding, ClipTokenizer};
    ///
    /// let tokenizer = ClipTokenizer::published(ClipPadding::EndToken);
    /// let ids = tokenizer.encode("a photo of a cat").ids;
    /// assert_eq!(ids[..8], [49406, 320, 1125, 539, 320, 2368, 49407, 49407]);
    /// ```
    pub fn published(padding: ClipPadding) -> Self {
        let vocabulary = vocabulary();
        let id = |token: &str| vocabulary.ids[token];
        let mut unsplit: Vec<_> = [START, END]
            .map(|token| (token.to_owned(), vec![id(token)]))
            .into();
        let padding = match padding {
            ClipPadding::EndToken => END,
            ClipPadding::ExclamationMark => {
                unsplit.push(("!".to_owned(), vec![id("!")]));
                "!"
            }
        };
        let special = Special {
            start: id(START),
            end: id(END),
            padding: id(padding),
            unknown: id(END),
            unsplit,
            length: LENGTH,
        };
        Self {
            vocabulary,
            special,
            normalizer: Normalizer::new(),
        }
    }

    /// The files of its folder: their names, and what is in them.
    pub fn published_files(padding: ClipPadding) -> Vec<(&'static str, String)> {
        let ids = vocabulary().ids;
        let padding = match padding {
            ClipPadding::EndToken => END,
            ClipPadding::ExclamationMark => "!",
        };
        let special = |token: &str| json!({"content": token, "special": true});
        let mut added = serde_json::Map::new();
        for token in [padding, START, END] {
            added.insert(ids[token].to_string(), special(token));
        }
        let config = json!({
            "added_tokens_decoder": added,
            "bos_token": START,
            "eos_token": END,
            "unk_token": END,
            "pad_token": padding,
            "model_max_length": LENGTH,
            "tokenizer_class": "CLIPTokenizer",
        });
        vec![
            ("vocab.json", json!(ids).to_string()),
            ("merges.txt", format!("#version: 0.2\n{MERGES}")),
            ("tokenizer_config.json", format!("{config:#}\n")),
        ]
    }
}

fn vocabulary() -> Vocabulary {
    // those that print come first
    let (printed, others): (Vec<u8>, Vec<u8>) =
        (0..=u8::MAX).partition(|byte| char::from(*byte) == byte_symbol(*byte));
    let symbols = printed.into_iter().chain(others).map(byte_symbol);
    let symbols: Vec<String> = symbols.map(String::from).collect();
    let ends = symbols.iter().map(|symbol| format!("{symbol}</w>"));
    let pairs: Vec<(&str, &str)> = (MERGES.lines())
        .map(|line| line.split_once(' ').expect("every line is a pair"))
        .collect();
    let merged = pairs.iter().map(|(left, right)| format!("{left}{right}"));
    let special = [START, END].map(str::to_owned);
    let words = (symbols.iter().cloned())
        .chain(ends)
        .chain(merged)
        .chain(special);
    let ids = words.zip(0..).collect();
    let pairs = pairs.into_iter().map(Ok);
    Vocabulary::new(Path::new(NAME), ids, pairs).expect("each merge makes a word of the list")
}
