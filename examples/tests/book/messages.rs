//! The messages on the page about troubles are those that programs give.

use std::{collections::BTreeSet, fs};

use crate::{
    block::{Block, blocks},
    command::{Call, examples, lines},
    common::{example, files, top},
};

/// Characters of a message that must be its own, and not of what it names.
const OWN: usize = 14;

fn page() -> Vec<Block> {
    let mut blocks = blocks();
    blocks.retain(|block| block.page.ends_with("docs/troubleshooting.md"));
    assert!(blocks.len() > 20, "the page has its messages");
    blocks
}

/// Whether the parts of `pattern` between its `...` are in `text` one after the other, the first at its start and the last at its end.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split("...");
    let first = parts.next().expect("one at least");
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut open = false;
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
        open = part.is_empty();
    }
    open || rest.is_empty()
}

#[test]
fn commands_give_their_messages() {
    let folder = tempfile::tempdir().expect("a folder");
    let (page, examples) = (page(), examples());
    let mut wrong = Vec::new();
    let mut given = 0;
    for pair in page.windows(2) {
        let [command, message] = pair else { continue };
        let call = lines(command)
            .first()
            .and_then(|words| Call::read(words, &examples));
        let Some(call) = call.filter(|_| message.follows && message.info == "text") else {
            continue;
        };
        let output = example(&call.program)
            .current_dir(top())
            .args(&call.arguments)
            .arg("--out")
            .arg(folder.path())
            .output()
            .expect("the example starts");
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() || !matches(message.text.trim(), said.trim()) {
            wrong.push(format!("{}: it says\n{said}", message.place));
        }
        given += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(given > 8, "{given} commands were tried");
}

#[test]
fn other_messages_are_in_the_sources() {
    let mut literals = BTreeSet::new();
    for folder in [
        "conceptrol-core/src",
        "conceptrol-sd/src",
        "conceptrol-flux/src",
        "examples",
        "benches/src",
    ] {
        for source in files(&top().join(folder), ".rs") {
            // this test is no place where messages come from
            if source.components().any(|part| part.as_os_str() == "tests") {
                continue;
            }
            let text = fs::read_to_string(source).expect("a source");
            literals.extend(text.lines().flat_map(strings));
        }
    }
    let mut wrong = Vec::new();
    for block in page()
        .iter()
        .filter(|block| block.info == "text" && !block.follows)
    {
        for line in block.text.lines() {
            let line = line.strip_prefix("error: ").unwrap_or(line);
            if !literals.iter().any(|literal| is_of(line, literal)) {
                wrong.push(format!("{}: {line}", block.place));
            }
        }
    }
    assert!(wrong.is_empty(), "nobody says\n{}", wrong.join("\n"));
}

/// The string literals of a line of Rust.
fn strings(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<String> = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match (character, &mut open) {
            ('"', None) => open = Some(String::new()),
            ('"', Some(_)) => found.extend(open.take()),
            ('\\', Some(text)) => text.extend(characters.next()),
            (character, Some(text)) => text.push(character),
            (_, None) => {}
        }
    }
    found
}

/// Whether a message is what a literal becomes when its placeholders are filled, whatever comes before or after it.
fn is_of(message: &str, literal: &str) -> bool {
    let mut own = 0;
    let mut rest = message;
    let mut depth = 0_usize;
    let mut fixed = vec![String::new()];
    for character in literal.chars() {
        match character {
            '{' => {
                depth += 1;
                fixed.push(String::new());
            }
            '}' => depth = depth.saturating_sub(1),
            other if depth == 0 => fixed.last_mut().expect("one at least").push(other),
            _ => {}
        }
    }
    for part in &fixed {
        let Some(at) = rest.find(part.as_str()) else {
            return false;
        };
        rest = &rest[at + part.len()..];
        own += part.chars().count();
    }
    own >= OWN
}

#[test]
fn messages_are_compared() {
    assert!(matches("error: a ... c", "error: a b c"));
    assert!(matches("error: a ...", "error: a b c"));
    assert!(!matches("error: a ...", "error: b c"));
    assert!(!matches("error: a b", "error: a b c"));
    assert_eq!(
        strings(r#"say("a \"b\"", 'c', "d {e}");"#),
        ["a \"b\"", "d {e}"]
    );
    assert!(
        !is_of("a cat is wanted", "{name} is {what}"),
        "too little of its own"
    );
    assert!(is_of(
        "the call has 3 rows, the session 4",
        "the call has {rows} rows, the session {expected}"
    ));
    assert!(!is_of(
        "the call has 3 rows",
        "the call has {rows} rows, the session {expected}"
    ));
}
