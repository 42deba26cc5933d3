//! The word that comes to mean a subject.

/// The rare word for the embedded model.
///
/// The usual "sks" is one rare piece of CLIP's published vocabulary, the word to take for SD1.5. In the embedded one it is two
/// pieces, whose untrained vectors are less than half as long as those of words: it changes the states of "cat" by 6 %, and the
/// subject was not bound to it at any learning rate that was tried. This word is four pieces and changes them by 15 %.
pub(crate) const RARE_WORD: &str = "qxzj";

/// A prompt with the rare `word` before the first occurrence of `phrase`, whose article is "a" then; `None` if the prompt does
/// not have the phrase as words of its own.
pub(crate) fn with_rare_word(prompt: &str, phrase: &str, word: &str) -> Option<String> {
    let joins = |side: &str, first: bool| {
        let mut letters = side.chars();
        let next = if first {
            letters.next()
        } else {
            letters.next_back()
        };
        next.is_some_and(char::is_alphanumeric)
    };
    let mut places = prompt.match_indices(phrase).filter(|_| !phrase.is_empty());
    let (before, after) = places.find_map(|(at, _)| {
        let (before, after) = (&prompt[..at], &prompt[at + phrase.len()..]);
        (!joins(before, false) && !joins(after, true)).then_some((before, after))
    })?;
    let before = match before.strip_suffix("an ") {
        Some(rest) if rest.is_empty() || rest.ends_with(' ') => format!("{rest}a "),
        _ => before.to_owned(),
    };
    Some(format!("{before}{word} {phrase}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_stands_before_the_phrase() {
        let cases = [
            (
                "an elephant and a car",
                "elephant",
                "a qxzj elephant and a car",
            ),
            ("a car and an apple", "car", "a qxzj car and an apple"),
            ("a carpet and a car", "car", "a carpet and a qxzj car"),
            ("cat", "cat", "qxzj cat"),
            ("a human elephant", "elephant", "a human qxzj elephant"),
        ];
        for (prompt, phrase, expected) in cases {
            assert_eq!(
                with_rare_word(prompt, phrase, RARE_WORD).as_deref(),
                Some(expected)
            );
        }
        assert_eq!(with_rare_word("a carpet", "car", "sks"), None);
        assert_eq!(with_rare_word("a carpet", "", "sks"), None);
    }
}
