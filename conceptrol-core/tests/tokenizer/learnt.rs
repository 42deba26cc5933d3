//! Words that were learnt: in the tokenizer's own files, and added to it.

use std::fs;

use conceptrol_core::{Occurrence, models::tokenizer::ClipTokenizer};

use crate::fixtures;

fn tokenizer() -> ClipTokenizer {
    ClipTokenizer::open(fixtures().join("clip")).expect("a tokenizer")
}

/// Ids between the start and the end token.
fn ids(tokenizer: &ClipTokenizer, text: &str) -> Vec<u32> {
    tokenizer
        .tokens(text)
        .into_iter()
        .map(|token| token.id)
        .collect()
}

#[test]
fn added_tokens_of_older_files_are_one_token() {
    let folder = tempfile::tempdir().expect("a folder");
    for entry in fs::read_dir(fixtures().join("clip")).expect("a folder") {
        let entry = entry.expect("readable");
        fs::write(
            folder.path().join(entry.file_name()),
            fs::read(entry.path()).expect("readable"),
        )
        .expect("written");
    }
    let file = folder.path().join("added_tokens.json");
    fs::write(&file, r#"{"<cat-toy>": 49408}"#).expect("written");
    let tokenizer = ClipTokenizer::open(folder.path()).expect("a tokenizer");
    assert_eq!(ids(&tokenizer, "<cat-toy>"), [49408]);
    fs::write(&file, r#"{"<cat-toy>": "x"}"#).expect("written");
    let error = ClipTokenizer::open(folder.path())
        .expect_err("refused")
        .to_string();
    assert!(error.contains("added_tokens.json"), "{error}");
}

#[test]
fn a_word_of_several_vectors_is_all_of_them_wherever_it_appears() {
    let mut tokenizer = tokenizer();
    let (a, on) = (ids(&tokenizer, "a"), ids(&tokenizer, "on"));
    tokenizer
        .add("<statue-x>", 90_000..90_003)
        .expect("a new word");
    tokenizer
        .add("<statue>", 90_003..90_004)
        .expect("a new word");
    let expected = [a.as_slice(), &[90_000, 90_001, 90_002], &on, &[90_003]].concat();
    assert_eq!(ids(&tokenizer, "A <statue-x> on <statue>"), expected);
    assert_eq!(ids(&tokenizer, "<statue-x>_1"), [90_001]);

    let prompt = tokenizer.encode("a <statue-x> on a <statue-x>");
    let phrase = tokenizer.tokens("<statue-x>");
    let spans = prompt
        .tokens
        .find(&phrase, Occurrence::All)
        .expect("it is there");
    let spans: Vec<_> = spans.iter().map(|span| span.range()).collect();
    assert_eq!(spans, [2..5, 7..10]);
    let found = prompt.tokens.at_bytes(2..12).expect("its bytes");
    assert_eq!(found.range(), 2..5);
}

#[test]
fn words_that_are_tokens_already_are_refused() {
    let mut tokenizer = tokenizer();
    tokenizer.add("<new>", 90_000..90_002).expect("a new word");
    for known in ["<new>", "<new>_1", "", "<|endoftext|>", "!"] {
        let error = tokenizer
            .add(known, 90_002..90_003)
            .expect_err("refused")
            .to_string();
        assert!(error.contains("is a token already"), "{known}: {error}");
    }
}
