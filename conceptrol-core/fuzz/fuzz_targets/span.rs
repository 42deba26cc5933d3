//! Arbitrary tokens as a prompt and a phrase: no panic, and every span found lies in the text window.
//!
//! `cargo +nightly fuzz run span` in `conceptrol-core`.
#![no_main]

use std::ops::Range;

use conceptrol_core::{Occurrence, PromptTokens, Token, TokenStyle};
use libfuzzer_sys::fuzz_target;

/// One line a piece: two bytes that place it in the prompt, then its text.
fn tokens(text: &str) -> Vec<Token> {
    let token = |line: &str| {
        let mut letters = line.chars();
        let (start, len) = (letters.next().map_or(0, |c| c as usize), letters.next().map_or(0, |c| c as usize));
        let text: String = letters.collect();
        Token::new(0, text, start..start + len, len % 2 == 0)
    };
    text.split('\n').map(token).collect()
}

fuzz_target!(|input: (&str, &str, bool, u8, Range<usize>)| {
    let (prompt, phrase, clip, length, range) = input;
    let style = if clip { TokenStyle::Clip } else { TokenStyle::T5 };
    let prompt = PromptTokens::new(tokens(prompt), style, usize::from(length));
    let phrase = tokens(phrase);
    let nth = Occurrence::Nth(range.start);
    let found = [prompt.find(&phrase, nth), prompt.find(&phrase, Occurrence::All)];
    let picked = [prompt.at_bytes(range.clone()), prompt.at_tokens(range)];
    let spans = found.into_iter().flatten().flatten().chain(picked.into_iter().flatten());
    for span in spans {
        let window = prompt.window();
        assert!(window.start <= span.start() && span.start() < span.end() && span.end() <= window.end);
    }
    // The authors' look-up is not bound to the window, only to the sequence.
    if let Ok(span) = prompt.find_as_authors(&phrase) {
        assert!(span.end() <= prompt.length());
    }
});
