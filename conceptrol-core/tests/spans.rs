//! Finding concepts: the authors' look-up against the real tokenizers' tokens (`fixtures/spans.json`: what they
//! found for each prompt and subject), our own search against examples and a naive twin.

use std::path::Path;

use conceptrol_core::{
    Occurrence, PromptTokens, SpanError, Token, TokenSpan, TokenStyle, check_disjoint,
};
use proptest::prelude::*;
use serde_json::Value;

/// Tokens from vocabulary entries; a word begins where the previous entry ends one (CLIP) or a `▁` says so (T5).
fn tokens(texts: &[&str], style: TokenStyle) -> Vec<Token> {
    let mut out: Vec<Token> = Vec::new();
    let mut start = 0;
    for text in texts {
        let before = out.last().map(|t| t.text.as_str());
        let begins_word = match style {
            TokenStyle::Clip => before.is_none_or(|b| b.ends_with("</w>")),
            _ => {
                !text.starts_with(char::is_alphanumeric)
                    || before.is_none_or(|b| !b.ends_with(char::is_alphanumeric))
            }
        };
        let end = start + text.len();
        out.push(Token::new(0, (*text).to_owned(), start..end, begins_word));
        start = end;
    }
    out
}

fn clip(texts: &str) -> PromptTokens {
    let texts: Vec<&str> = texts.split(' ').collect();
    PromptTokens::new(tokens(&texts, TokenStyle::Clip), TokenStyle::Clip, 77)
}

fn words(texts: &str) -> Vec<Token> {
    tokens(&texts.split(' ').collect::<Vec<_>>(), TokenStyle::Clip)
}

fn ranges(spans: &[TokenSpan]) -> Vec<(usize, usize)> {
    spans.iter().map(|s| (s.start(), s.end())).collect()
}

#[test]
fn the_authors_look_up_is_reproduced() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/spans.json");
    let rows: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(rows.len() > 60);
    for row in rows {
        let (style, length) = match row["style"].as_str() {
            Some("clip") => (TokenStyle::Clip, 77),
            _ => (TokenStyle::T5, 512),
        };
        let list = |name: &str| {
            let texts: Vec<&str> = row[name]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(Value::as_str)
                .collect();
            tokens(&texts, style)
        };
        let prompt = PromptTokens::new(list("prompt"), style, length);
        let phrase = list("phrase");
        let range = prompt.authors_range(&phrase);
        let expected: Option<Vec<usize>> = serde_json::from_value(row["span"].clone()).unwrap();
        match (row["status"].as_str().unwrap(), range) {
            ("ok", Ok(range)) => {
                assert_eq!(Some(vec![range.start, range.end]), expected, "{row}");
                assert_eq!(prompt.find_as_authors(&phrase).unwrap().range(), range);
            }
            ("empty_slice_nan", Ok(range)) => {
                assert_eq!(Some(vec![range.start, range.end]), expected, "{row}");
                let error = prompt.find_as_authors(&phrase).unwrap_err();
                assert!(matches!(error, SpanError::AuthorsEmpty { .. }), "{error}");
            }
            ("error" | "error_empty", Err(SpanError::NotFound { .. } | SpanError::EmptyPhrase)) => {
            }
            (status, range) => panic!("{status}, but {range:?}: {row}"),
        }
    }
}

#[test]
fn a_phrase_is_whole_words() {
    let prompt = clip("a</w> mush room</w> in</w> a</w> room</w>");
    assert_eq!(
        ranges(&prompt.find(&words("room</w>"), Occurrence::All).unwrap()),
        [(6, 7)]
    );
    assert_eq!(
        ranges(
            &prompt
                .find(&words("mush room</w>"), Occurrence::Nth(0))
                .unwrap()
        ),
        [(2, 4)]
    );
    assert!(prompt.find(&words("mush"), Occurrence::All).is_err());
    // The authors' look-up takes the end of the mushroom.
    assert_eq!(prompt.authors_range(&words("room</w>")).unwrap(), 3..4);
}

#[test]
fn occurrences_are_counted_from_the_left() {
    let prompt = clip("hot</w> dog</w> and</w> a</w> dog</w>");
    let dog = words("dog</w>");
    assert_eq!(
        ranges(&prompt.find(&dog, Occurrence::default()).unwrap()),
        [(2, 3)]
    );
    assert_eq!(
        ranges(&prompt.find(&dog, Occurrence::Nth(1)).unwrap()),
        [(5, 6)]
    );
    assert_eq!(
        ranges(&prompt.find(&dog, Occurrence::All).unwrap()),
        [(2, 3), (5, 6)]
    );
    let error = prompt.find(&dog, Occurrence::Nth(2)).unwrap_err();
    assert!(
        matches!(
            error,
            SpanError::TooFew {
                asked: 2,
                found: 2,
                ..
            }
        ),
        "{error}"
    );
    // Occurrences do not overlap.
    let prompt = clip("a</w> a</w> a</w>");
    assert_eq!(
        ranges(&prompt.find(&words("a</w> a</w>"), Occurrence::All).unwrap()),
        [(1, 3)]
    );
}

#[test]
fn two_concepts_must_not_share_words() {
    let prompt = clip("hot</w> dog</w> and</w> a</w> dog</w>");
    let hot_dog = prompt
        .find(&words("hot</w> dog</w>"), Occurrence::Nth(0))
        .unwrap();
    let first = prompt.find(&words("dog</w>"), Occurrence::Nth(0)).unwrap();
    let second = prompt.find(&words("dog</w>"), Occurrence::Nth(1)).unwrap();
    let error = check_disjoint(&[("hot dog", &hot_dog), ("dog", &first)]).unwrap_err();
    assert!(
        error.to_string().contains("`hot dog` (tokens 1..3)"),
        "{error}"
    );
    check_disjoint(&[("hot dog", &hot_dog), ("dog", &second)]).unwrap();
}

#[test]
fn t5_ignores_case_and_how_words_are_cut() {
    let list = [
        "▁A", "▁cor", "g", "i", "▁in", "▁", "a", "▁", "t", "-", "shirt", ",", "▁cats",
    ];
    let prompt = PromptTokens::new(tokens(&list, TokenStyle::T5), TokenStyle::T5, 512);
    let find = |texts: &[&str]| {
        prompt
            .find(&tokens(texts, TokenStyle::T5), Occurrence::Nth(0))
            .map(|s| ranges(&s))
    };
    assert_eq!(find(&["▁", "a", "▁Cor", "gi"]).unwrap(), [(0, 4)]);
    assert_eq!(find(&["▁T", "-", "S", "hir", "t"]).unwrap(), [(7, 11)]);
    assert_eq!(find(&["▁shirt"]).unwrap(), [(10, 11)]);
    assert!(matches!(
        find(&["▁cat"]).unwrap_err(),
        SpanError::NotFound { .. }
    ));
    assert!(matches!(find(&["▁"]).unwrap_err(), SpanError::EmptyPhrase));
}

#[test]
fn messages_list_the_prompt() {
    let prompt = clip("a</w> mush room</w> in</w> rain</w>");
    let error = prompt
        .find(&words("snow</w>"), Occurrence::All)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "`snow` is not in the prompt, whose tokens are: a mush room in rain"
    );
}

#[test]
fn the_window_ends_before_the_end_token() {
    let texts = ["a</w>"; 80];
    let prompt = PromptTokens::new(tokens(&texts, TokenStyle::Clip), TokenStyle::Clip, 77);
    assert_eq!(prompt.window(), 1..76);
    let a = words("a</w>");
    assert_eq!(
        ranges(&prompt.find(&a, Occurrence::Nth(74)).unwrap()),
        [(75, 76)]
    );
    let error = prompt.find(&a, Occurrence::Nth(75)).unwrap_err();
    assert!(
        matches!(
            error,
            SpanError::BeyondWindow {
                start: 76,
                last: 76,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(prompt.find(&a, Occurrence::All).unwrap().len(), 75);
    assert!(prompt.at_tokens(70..77).is_err());
    assert!(prompt.at_tokens(0..2).is_err());
    assert_eq!(prompt.at_tokens(1..2).unwrap().len(), 1);
    assert!(matches!(
        prompt.at_tokens(2..2).unwrap_err(),
        SpanError::EmptyRange { .. }
    ));
}

#[test]
fn bytes_name_the_tokens_they_touch() {
    let prompt = clip("a</w> mush room</w>"); // bytes 0..5, 5..9, 9..17
    assert_eq!(prompt.at_bytes(6..10).unwrap().range(), 2..4);
    assert_eq!(prompt.at_bytes(0..1).unwrap().range(), 1..2);
    assert!(matches!(
        prompt.at_bytes(17..20).unwrap_err(),
        SpanError::NoTokenAtBytes { length: 17, .. }
    ));
    assert!(prompt.at_bytes(6..6).is_err());
}

/// Words over two letters, each cut into pieces at random: (letters, cut after each letter).
fn any_words(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Vec<(bool, bool)>>> {
    prop::collection::vec(prop::collection::vec(any::<(bool, bool)>(), 1..3), count)
}

fn cut(words: &[Vec<(bool, bool)>]) -> Vec<Token> {
    let mut out = Vec::new();
    for word in words {
        let mut text = String::new();
        let mut begins_word = true;
        for (i, &(letter, cut)) in word.iter().enumerate() {
            text.push(if letter { 'x' } else { 'y' });
            let ends = i + 1 == word.len();
            if cut || ends {
                let mark = if ends { "</w>" } else { "" };
                let start = out.len();
                let text = std::mem::take(&mut text) + mark;
                let begins_word = std::mem::replace(&mut begins_word, false);
                out.push(Token::new(0, text, start..start + 1, begins_word));
            }
        }
    }
    out
}

proptest! {
    /// The search over pieces finds what a search over words finds.
    #[test]
    fn pieces_do_not_matter(prompt in any_words(0..12), phrase in any_words(1..3)) {
        let spell = |word: &Vec<(bool, bool)>| word.iter().map(|l| l.0).collect::<Vec<_>>();
        let (spelled, wanted): (Vec<_>, Vec<_>) = (prompt.iter().map(spell).collect(), phrase.iter().map(spell).collect());
        let mut expected = Vec::new();
        let mut at = 0;
        while at + wanted.len() <= spelled.len() {
            if spelled[at..at + wanted.len()] == wanted[..] {
                let start = 1 + cut(&prompt[..at]).len();
                expected.push((start, start + cut(&prompt[at..at + wanted.len()]).len()));
                at += wanted.len();
            } else {
                at += 1;
            }
        }
        let tokens = PromptTokens::new(cut(&prompt), TokenStyle::Clip, 77);
        match tokens.find(&cut(&phrase), Occurrence::All) {
            Ok(spans) => prop_assert_eq!(ranges(&spans), expected),
            Err(error) => prop_assert!(expected.is_empty(), "{}", error),
        }
    }

    /// Whatever the tokens: no panic, and every span lies in the window.
    #[test]
    fn spans_lie_in_the_window(
        prompt in prop::collection::vec(("[▁a-b]{0,2}(</w>)?", any::<bool>(), 0usize..9, 0usize..9), 0..9),
        phrase in prop::collection::vec("[▁a-b]{0,2}(</w>)?", 0..3),
        style in prop::sample::select(vec![TokenStyle::Clip, TokenStyle::T5]),
        (length, nth) in (0usize..12, 0usize..3),
        (from, to) in (0usize..12, 0usize..12),
    ) {
        let token = |(text, begins_word, start, end)| Token::new(0, text, start..end, begins_word);
        let prompt = PromptTokens::new(prompt.into_iter().map(token).collect(), style, length);
        let phrase: Vec<Token> = phrase.into_iter().map(|text| token((text, true, 0, 1))).collect();
        let mut found = prompt.find(&phrase, Occurrence::All).unwrap_or_default();
        found.extend(prompt.find(&phrase, Occurrence::Nth(nth)).unwrap_or_default());
        found.extend(prompt.at_bytes(from..to));
        found.extend(prompt.at_tokens(from..to));
        let window = prompt.window();
        prop_assert!(found.iter().all(|s| window.start <= s.start() && s.end() <= window.end));
        let found = prompt.find_as_authors(&phrase);
        prop_assert!(found.is_ok_and(|s| s.end() <= length) || prompt.find_as_authors(&phrase).is_err());
    }
}
