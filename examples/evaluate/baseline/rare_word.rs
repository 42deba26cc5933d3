//! The word that comes to mean a subject.

/// A word that means nothing to a model before the training.
///
/// The usual "sks" is two pieces in the embedded vocabulary, whose untrained vectors are less than half as long as those of
/// words: it changes the states of "cat" by 6 %, and the subject is not bound to it at any learning rate that was tried. This
/// one is four pieces and changes them by 15 %. In the vocabulary of SD1.5 it is rare as well.
pub(crate) const RARE_WORD: &str = "qxzj";

/// A prompt with the rare word before the first occurrence of `phrase`, whose article is "a" then; `None` if the prompt does
/// not have the phrase as words of its own.
pub(crate) fn with_rare_word(prompt: &str, phrase: &str) -> Option<String> {
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
    Some(format!("{before}{RARE_WORD} {phrase}{after}"))
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
            assert_eq!(with_rare_word(prompt, phrase).as_deref(), Some(expected));
        }
        assert_eq!(with_rare_word("a carpet", "car"), None);
        assert_eq!(with_rare_word("a carpet", ""), None);
    }
}
