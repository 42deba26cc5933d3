//! `tokenizer.json` files that would panic, exhaust the memory or give other tokens a run, if the library saw them.

use std::fs;

use base64::{Engine, engine::general_purpose::STANDARD};
use conceptrol_core::models::tokenizer::{ClipTokenizer, T5Tokenizer, TokenizerError};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::fixtures;

fn t5() -> Value {
    let text = fs::read_to_string(fixtures().join("t5/tokenizer.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn open(json: &Value) -> Result<T5Tokenizer, TokenizerError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    fs::write(&path, json.to_string()).unwrap();
    T5Tokenizer::open(&path)
}

/// The file with one part replaced is refused with these words, and named.
fn refused(part: &str, value: Value, expected: &str) {
    let mut json = t5();
    *json.pointer_mut(part).unwrap() = value;
    let text = open(&json).unwrap_err().to_string();
    assert!(text.contains(expected), "{expected}: {text}");
    assert!(text.contains("tokenizer.json is malformed"), "{text}");
    assert!(text.len() < 1000, "{} bytes", text.len());
}

#[test]
fn tables_of_replacements_that_lie() {
    let table = |bytes: &[u8]| json!({"type": "Precompiled", "precompiled_charsmap": STANDARD.encode(bytes)});
    refused("/normalizer", table(&[]), "precompiled_charsmap");
    // a trie of 4 GB, for which the library would reserve 8
    refused(
        "/normalizer",
        table(&[0xff; 64]),
        "trie of 4294967295 bytes",
    );
    refused(
        "/normalizer",
        table(&[0xfc, 0xff, 0xff, 0x2f, 0, 0]),
        "trie of 805306364 bytes",
    );
    refused(
        "/normalizer",
        table(&[4, 0, 0, 0, 0, 0xff, 0xff, 0xff]),
        "of 1",
    );
    refused(
        "/normalizer",
        json!({"type": "Precompiled", "precompiled_charsmap": "!"}),
        "precompiled_charsmap",
    );
    refused(
        "/normalizer",
        json!({"type": "Precompiled"}),
        "precompiled_charsmap",
    );

    // each unit of the real table in turn refers to far away
    let published = t5();
    let published = published.pointer("/normalizer/normalizers/0/precompiled_charsmap");
    let published = STANDARD
        .decode(published.unwrap().as_str().unwrap())
        .unwrap();
    for unit in [0, 1, 97, 4000] {
        let mut bytes = published.clone();
        bytes[4 + 4 * unit..8 + 4 * unit].fill(0xff);
        let mut json = t5();
        json["normalizer"] = table(&bytes);
        // a unit that no lookup reaches may be anything
        if let Ok(tokenizer) = open(&json) {
            spell(&tokenizer);
        }
    }
    refused(
        "/normalizer",
        table(&published[..published.len() / 2]),
        "trie",
    );
}

/// Looks up every character, alone and followed by a mark.
fn spell(tokenizer: &T5Tokenizer) {
    let all: String = (0..0x3000).filter_map(char::from_u32).collect();
    tokenizer.tokens(&all).unwrap();
    let marked: String = all.chars().flat_map(|c| [c, '\u{301}', ' ']).collect();
    tokenizer.tokens(&marked).unwrap();
}

#[test]
fn normalizers_that_grow() {
    let replace = |text: &str, by: &str| json!({"type": "Replace", "pattern": {"String": text}, "content": by});
    let sequence = |steps: Vec<Value>| json!({"type": "Sequence", "normalizers": steps});
    let doubling = vec![replace("a", "aaaaaaaaaa"); 6];
    refused("/normalizer", sequence(doubling), "1000000 times longer");
    refused(
        "/normalizer",
        replace("a", &"b".repeat(1 << 20)),
        "1048576 times longer",
    );
    refused(
        "/normalizer",
        sequence(vec![json!({"type": "NFKC"}); 2]),
        "121 times longer",
    );
    refused(
        "/normalizer",
        sequence(vec![json!({"type": "Nmt"}); 9]),
        "9 normalizers",
    );
    refused("/normalizer", replace("", "x"), "only texts");
    refused(
        "/normalizer",
        json!({"type": "Prepend", "prepend": "x"}),
        "`Prepend` is not known",
    );
    let nested = sequence(vec![sequence(vec![])]);
    refused("/normalizer", nested, "`Sequence` is not known");
    for pattern in ["(a+)+$", "", "\\s+|"] {
        let regex = json!({"type": "Replace", "pattern": {"Regex": pattern}, "content": ""});
        refused("/normalizer", regex, "only texts and ` {2,}` are known");
    }
    let long = json!({"type": "x".repeat(1 << 20)});
    refused("/normalizer", long, "is not known");
}

#[test]
fn steps_that_real_files_have_are_accepted() {
    let mut json = t5();
    let table = json["normalizer"]["normalizers"][0].clone();
    let spaces = json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"});
    let strip = json!({"type": "Strip", "strip_left": false, "strip_right": true});
    let metaspace = json!({"type": "Metaspace", "replacement": "▁", "add_prefix_space": true});
    for normalizer in [
        Value::Null,
        table.clone(),
        json!({"type": "Sequence", "normalizers": [table, strip, spaces]}),
    ] {
        json["normalizer"] = normalizer;
        for pre_tokenizer in [
            metaspace.clone(),
            json!({"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace]}),
        ] {
            json["pre_tokenizer"] = pre_tokenizer;
            let tokenizer = open(&json).unwrap();
            let expected = T5Tokenizer::open(fixtures().join("t5")).unwrap();
            let prompt = "a photo of a cat";
            assert_eq!(
                tokenizer.encode(prompt, 16).unwrap().ids,
                expected.encode(prompt, 16).unwrap().ids
            );
        }
    }
}

#[test]
fn pre_tokenizers_that_no_t5_has() {
    for kind in [
        "FixedLength",
        "Split",
        "ByteLevel",
        "Delimiter",
        "UnicodeScripts",
    ] {
        let part = json!({"type": kind, "length": 0, "pattern": {"Regex": "(a+)+$"}});
        refused("/pre_tokenizer", part.clone(), "is not known");
        refused(
            "/pre_tokenizer",
            json!({"type": "Sequence", "pretokenizers": [part]}),
            "is not known",
        );
    }
    let many = vec![json!({"type": "WhitespaceSplit"}); 9];
    refused(
        "/pre_tokenizer",
        json!({"type": "Sequence", "pretokenizers": many}),
        "9 pre-tokenizers",
    );
}

#[test]
fn models_of_another_kind_or_with_chance() {
    let bpe =
        |dropout: f64| json!({"type": "BPE", "dropout": dropout, "vocab": {"a": 0}, "merges": []});
    refused("/model", bpe(0.5), "its model is BPE, Unigram is expected");
    refused(
        "/model",
        json!({"type": "Unigram", "dropout": 0.1, "vocab": []}),
        "by chance",
    );
    for dropout in [0.5, 1e-9] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        let model = |dropout: Option<f64>| {
            json!({"model": {
                "type": "BPE", "dropout": dropout, "merges": [],
                "vocab": {"<|startoftext|>": 0, "<|endoftext|>": 1},
            }})
            .to_string()
        };
        fs::write(&path, model(Some(dropout))).unwrap();
        let text = ClipTokenizer::open(&path).unwrap_err().to_string();
        assert!(text.contains("by chance"), "{text}");
        fs::write(&path, model(None)).unwrap();
        ClipTokenizer::open(&path).unwrap();
    }
}

#[test]
fn vocabularies_beyond_any_model() {
    let piece = |text: &str| json!([[text, 0.0], ["</s>", 0.0], ["<pad>", 0.0]]);
    refused("/model/vocab", piece(&"x".repeat(1 << 20)), "1048576 bytes");
    refused("/model/vocab", piece(""), "0 bytes");
    refused("/model/unk_id", json!(4000), "unk_id");
    refused("/model/vocab", json!({"a": 1}), "a list");
    let long: Vec<Value> = (0..20_000)
        .map(|i| json!([format!("{i:0>250}"), 0.0]))
        .collect();
    refused("/model/vocab", json!(long), "5000000 bytes");
    let many = vec![json!({"content": "x", "id": 1}); (1 << 14) + 1];
    refused("/added_tokens", json!(many), "16385 added tokens");
    refused(
        "/added_tokens",
        json!([{"content": "", "id": 1}]),
        "0 bytes",
    );
    // a control character that the table removes
    let empty = json!([{"content": "\u{1}", "id": 1, "normalized": true}]);
    refused("/added_tokens", empty, "0 bytes");
}

#[test]
fn a_list_that_does_not_end_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    let merges = r#""a b","#.repeat((1 << 20) + 1);
    fs::write(
        &path,
        format!(r#"{{"model":{{"vocab":{{}},"merges":[{merges}"a b"]}}}}"#),
    )
    .unwrap();
    let text = ClipTokenizer::open(&path).unwrap_err().to_string();
    assert!(text.contains("more than 1048576 entries"), "{text}");
    fs::write(&path, "[".repeat(1 << 20)).unwrap();
    ClipTokenizer::open(&path).unwrap_err();
    T5Tokenizer::open(&path).unwrap_err();
}

#[test]
fn special_tokens_are_few_and_have_one_id() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["vocab.json", "merges.txt"] {
        fs::copy(fixtures().join("clip").join(file), folder.path().join(file)).unwrap();
    }
    let config = folder.path().join("tokenizer_config.json");
    let many: serde_json::Map<String, Value> =
        (0..5000).map(|i| (i.to_string(), json!("x"))).collect();
    fs::write(&config, json!({"added_tokens_decoder": many}).to_string()).unwrap();
    let text = ClipTokenizer::open(folder.path()).unwrap_err().to_string();
    assert!(text.contains("5000 added tokens"), "{text}");
    // of two ids for one text, always the same counts
    let two = json!({"added_tokens_decoder": {"7": "<cat>", "9": "<cat>", "8": "<cat>"}});
    fs::write(&config, two.to_string()).unwrap();
    for _ in 0..20 {
        let clip = ClipTokenizer::open(folder.path()).unwrap();
        assert_eq!(clip.encode("<cat>").ids[1], 9);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// A damaged table is refused, or harmless.
    #[test]
    fn damaged_tables(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40)) {
        let mut json = t5();
        let table = json.pointer_mut("/normalizer/normalizers/0/precompiled_charsmap").unwrap();
        let mut bytes = STANDARD.decode(table.as_str().unwrap()).unwrap();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        *table = json!(STANDARD.encode(bytes));
        if let Ok(tokenizer) = open(&json) {
            spell(&tokenizer);
        }
    }

    /// No prompt panics.
    #[test]
    fn any_prompt(prompt in ".{0,40}") {
        let t5 = T5Tokenizer::open(fixtures().join("t5")).unwrap();
        t5.encode(&prompt, 16).unwrap();
        ClipTokenizer::open(fixtures().join("clip")).unwrap().encode(&prompt);
    }
}
