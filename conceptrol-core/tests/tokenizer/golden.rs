//! Tokenizers against transformers 4.48 (slow `CLIPTokenizer` without ftfy, `T5TokenizerFast`). The vocabularies in
//! `fixtures/tokenizer` are sub-vocabularies of the real ones with all byte symbols, so that any text can be spelled.
//! `expected.json`: rows of text, CLIP ids, ids of SDXL's second tokenizer, T5 ids, each without padding.

use std::fs;
use std::path::Path;

use conceptrol_core::models::tokenizer::{ClipTokenizer, T5Tokenizer, TokenizerError};

use crate::fixtures;

type Row = (String, Vec<u32>, Vec<u32>, Vec<u32>);

fn rows() -> Vec<Row> {
    let text = fs::read_to_string(fixtures().join("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A copy of the CLIP folder without some files.
fn clip_folder(files: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        fs::copy(fixtures().join("clip").join(file), folder.path().join(file)).unwrap();
    }
    folder
}

fn padded(ids: &[u32], length: usize, padding: u32) -> Vec<u32> {
    let mut ids = ids.to_vec();
    ids.resize(length, padding);
    ids
}

#[test]
fn clip_ids_equal_those_of_transformers() {
    let folder = clip_folder(&["vocab.json", "merges.txt"]);
    let clip = ClipTokenizer::open(folder.path()).unwrap();
    for (text, ids, ..) in rows() {
        assert_eq!(
            clip.encode(&text).ids,
            padded(&ids, 77, clip.end_id()),
            "{text:?}"
        );
    }
}

#[test]
fn the_second_tokenizer_of_sdxl_pads_with_an_exclamation_mark() {
    let clip = ClipTokenizer::open(fixtures().join("clip")).unwrap();
    assert_eq!(clip.padding_id(), 0);
    for (text, _, ids, _) in rows() {
        assert_eq!(clip.encode(&text).ids, padded(&ids, 77, 0), "{text:?}");
    }
}

#[test]
fn t5_ids_equal_those_of_transformers() {
    let t5 = T5Tokenizer::open(fixtures().join("t5")).unwrap();
    for (text, _, _, expected) in rows() {
        let encoded = t5.encode(&text, 512).unwrap();
        assert_eq!(encoded.ids, padded(&expected, 512, 0), "{text:?}");
        let mut short = expected;
        if short.len() > 8 {
            short.truncate(7);
            short.push(t5.end_id());
        }
        assert_eq!(
            t5.encode(&text, 8).unwrap().ids,
            padded(&short, 8, 0),
            "{text:?}"
        );
    }
}

#[test]
fn tokens_know_their_bytes() {
    let clip = ClipTokenizer::open(fixtures().join("clip")).unwrap();
    let prompt = "A  naïve 猫猫 e\u{301}t!";
    let tokens = clip.tokens(prompt);
    let slices: Vec<&str> = tokens
        .iter()
        .filter(|t| t.begins_word)
        .map(|t| &prompt[t.bytes.clone()])
        .collect();
    assert_eq!(slices[0], "A");
    assert!(tokens.iter().any(|t| &prompt[t.bytes.clone()] == "ï"));
    assert!(tokens.iter().any(|t| &prompt[t.bytes.clone()] == "猫"));
    assert!(
        tokens
            .iter()
            .any(|t| &prompt[t.bytes.clone()] == "e\u{301}")
    );
    let last = tokens.last().unwrap();
    assert_eq!(
        (last.text.as_str(), last.id, last.bytes.clone()),
        ("!", 0, prompt.len() - 1..prompt.len())
    );
}

#[test]
fn a_cut_prompt_says_what_is_lost() {
    let clip = ClipTokenizer::open(fixtures().join("clip")).unwrap();
    let prompt = format!("{}lost words", "a ".repeat(75));
    let cut = clip.encode(&prompt).truncated.unwrap();
    assert_eq!((cut.kept, cut.text.as_str()), (75, "lost words"));
    assert_eq!(&prompt[cut.bytes.clone()], "lost words");
    assert!(cut.to_string().contains("\"lost words\""));
    assert_eq!(clip.encode(&"a ".repeat(75)).truncated, None);
}

#[test]
fn missing_and_broken_files_are_named() {
    let error = |path: &Path| ClipTokenizer::open(path).unwrap_err();
    let no_merges = clip_folder(&["vocab.json"]);
    assert!(
        matches!(error(no_merges.path()), TokenizerError::Missing { path, .. } if path.ends_with("merges.txt"))
    );
    let no_vocabulary = clip_folder(&["merges.txt"]);
    assert!(
        matches!(error(no_vocabulary.path()), TokenizerError::Missing { path, .. } if path.ends_with("vocab.json"))
    );
    assert!(matches!(
        error(Path::new("/nonexistent")),
        TokenizerError::Missing { .. }
    ));

    let folder = clip_folder(&["vocab.json", "merges.txt"]);
    fs::write(folder.path().join("merges.txt"), "#version: 0.2\na b c\n").unwrap();
    assert!(error(folder.path()).to_string().contains("line 2"));
    fs::write(folder.path().join("merges.txt"), "#version: 0.2\nzzz qqq\n").unwrap();
    assert!(error(folder.path()).to_string().contains("`zzzqqq`"));
    fs::write(folder.path().join("vocab.json"), "{").unwrap();
    assert!(
        matches!(error(folder.path()), TokenizerError::Malformed { path, .. } if path.ends_with("vocab.json"))
    );
    fs::write(folder.path().join("vocab.json"), "{\"a\": 0}").unwrap();
    fs::write(folder.path().join("merges.txt"), "#version: 0.2").unwrap();
    assert!(matches!(
        error(folder.path()),
        TokenizerError::UnknownSpecial { role: "start", .. }
    ));

    assert!(matches!(
        T5Tokenizer::open(folder.path()).unwrap_err(),
        TokenizerError::Missing { .. }
    ));
    fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
    assert!(matches!(
        T5Tokenizer::open(folder.path()).unwrap_err(),
        TokenizerError::Malformed { .. }
    ));
    let t5 = T5Tokenizer::open(fixtures().join("t5")).unwrap();
    assert!(matches!(
        t5.encode("a", 0).unwrap_err(),
        TokenizerError::Prompt { .. }
    ));
}

#[test]
fn one_file_holds_the_same_tokenizer() {
    let vocab: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(fixtures().join("clip/vocab.json")).unwrap())
            .unwrap();
    let merges = fs::read_to_string(fixtures().join("clip/merges.txt")).unwrap();
    let lines: Vec<&str> = merges.trim().lines().skip(1).collect();
    let pairs: Vec<Vec<&str>> = lines.iter().map(|line| line.split(' ').collect()).collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokenizer.json");
    for merges in [serde_json::json!(lines), serde_json::json!(pairs)] {
        let json = serde_json::json!({"model": {"type": "BPE", "vocab": vocab, "merges": merges}});
        fs::write(&file, json.to_string()).unwrap();
        let (by_file, by_folder) = (
            ClipTokenizer::open(&file).unwrap(),
            ClipTokenizer::open(folder.path()).unwrap(),
        );
        for (text, ids, ..) in rows() {
            assert_eq!(
                by_file.encode(&text).ids,
                padded(&ids, 77, by_file.end_id()),
                "{text:?}"
            );
            assert_eq!(by_folder.encode(&text).ids, by_file.encode(&text).ids);
        }
    }
}
