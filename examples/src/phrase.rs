//! Phrases in prompts.

use std::ops::Range;

/// The bytes of a text at which it has a phrase as whole words, in any case.
///
/// ```
/// use conceptrol_examples::phrase::places;
///
/// let prompt = "A cat, a catfish and another Cat";
/// assert_eq!(places(prompt, "cat"), [2..5, 29..32]);
/// assert!(places(prompt, "").is_empty());
/// ```
pub fn places(text: &str, phrase: &str) -> Vec<Range<usize>> {
    let is_letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, _) in text.char_indices() {
        let Some(length) = begins(&text[at..], phrase) else {
            continue;
        };
        let end = at + length;
        let whole =
            !is_letter(text[..at].chars().next_back()) && !is_letter(text[end..].chars().next());
        if whole && found.last().is_none_or(|last| last.end <= at) {
            found.push(at..end);
        }
    }
    found
}

/// How many bytes of a text's beginning are the phrase.
fn begins(text: &str, phrase: &str) -> Option<usize> {
    let mut wanted = phrase.chars().flat_map(char::to_lowercase).peekable();
    wanted.peek()?;
    for (at, c) in text.char_indices() {
        if wanted.peek().is_none() {
            return Some(at);
        }
        for lower in c.to_lowercase() {
            if wanted.next() != Some(lower) {
                return None;
            }
        }
    }
    wanted.peek().is_none().then_some(text.len())
}
