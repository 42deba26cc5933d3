//! The noun phrases of a prompt, by lists of words and no model.

use std::{fmt, ops::Range};

use super::closed_words::{
    ADVERBS, BRACKETS, CLAUSE_WORDS, CONJUNCTIONS, DETERMINERS, MEDIA, NO_PARTICIPLES, NOUNS_IN_LY,
    PLACE_WORDS, PREPOSITIONS, QUALITIES, VERBS,
};

/// A phrase of a prompt that can be a concept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NounPhrase {
    /// Its words as they stand in the prompt, without article.
    pub text: String,
    /// The bytes of the prompt they are.
    pub bytes: Range<usize>,
    /// What the prompt does with it.
    pub role: PhraseRole,
}

/// What a prompt does with a noun phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PhraseRole {
    /// Shows it: it stands for itself, or behind "and".
    Subject,
    /// Says what the subject is doing with it: it stands behind a verb.
    Object,
    /// Says where or how: it stands behind a preposition.
    Place,
    /// Lists it behind a comma without an article.
    Tag,
}

impl fmt::Display for PhraseRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Subject => "subject",
            Self::Object => "object",
            Self::Place => "place",
            Self::Tag => "tag",
        })
    }
}

/// The noun phrases of an English prompt, in its order.
///
/// The rule: a phrase is a run of words of no closed class. Articles, possessives and numbers begin one and are no part of
/// it; prepositions, conjunctions, pronouns, common verbs, adverbs and punctuation end it, and so does a participle:
/// "-ing" behind the first word, and "-ed" before a preposition. What stands for the picture ("a photo of") and what
/// praises it ("best quality") is none. What was read last before a phrase gives its [`PhraseRole`].
///
/// A rule without a model takes adjectives and verbs it does not know for nouns: it proposes, a person chooses.
///
/// ```
/// use conceptrol_core::{PhraseRole, noun_phrases};
///
/// let phrases = noun_phrases("A statue is reading the book in the cafe, best quality");
/// let found: Vec<_> = phrases.iter().map(|phrase| (phrase.text.as_str(), phrase.role)).collect();
/// assert_eq!(found, [
///     ("statue", PhraseRole::Subject),
///     ("book", PhraseRole::Object),
///     ("cafe", PhraseRole::Place),
/// ]);
/// ```
pub fn noun_phrases(prompt: &str) -> Vec<NounPhrase> {
    let words = words(prompt);
    let mut reader = Reader {
        prompt,
        phrases: Vec::new(),
        open: None,
        role: PhraseRole::Subject,
        before: Before::Other,
    };
    for (index, word) in words.iter().enumerate() {
        reader.read(word, words.get(index + 1));
    }
    reader.close();
    reader.phrases
}

/// A word, or a mark of punctuation.
#[derive(Debug)]
struct Word {
    bytes: Range<usize>,
    lower: String,
}

impl Word {
    fn is_of(&self, class: &[&str]) -> bool {
        class.contains(&self.lower.as_str())
    }

    fn is_mark(&self) -> bool {
        !self
            .lower
            .chars()
            .any(|c| c.is_alphanumeric() || matches!(c, '&' | '<'))
    }
}

fn words(prompt: &str) -> Vec<Word> {
    let is_within =
        |c: char| c.is_alphanumeric() || matches!(c, '-' | '\'' | '’' | '_' | '<' | '>' | '*');
    let mut words: Vec<Word> = Vec::new();
    let mut begins = true;
    for (at, c) in prompt.char_indices() {
        let end = at + c.len_utf8();
        match words.last_mut() {
            _ if c.is_whitespace() => begins = true,
            Some(last) if !begins && is_within(c) && !last.is_mark() => last.bytes.end = end,
            _ => {
                words.push(Word {
                    bytes: at..end,
                    lower: String::new(),
                });
                begins = false;
            }
        }
        if let Some(last) = words.last_mut().filter(|_| !c.is_whitespace()) {
            last.lower.extend(c.to_lowercase());
        }
    }
    words
}

#[derive(Debug)]
struct Reader<'a> {
    prompt: &'a str,
    phrases: Vec<NounPhrase>,
    /// First byte, byte behind the last, and the last word of the phrase that is read.
    open: Option<(usize, usize, String)>,
    /// What the next phrase is.
    role: PhraseRole,
    before: Before,
}

/// What the word before was, where that decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Determiner,
    Medium,
    Other,
}

impl Reader<'_> {
    fn read(&mut self, word: &Word, next: Option<&Word>) {
        let next_is = |class| next.is_some_and(|next| next.is_of(class));
        let before = std::mem::replace(&mut self.before, Before::Other);
        let is_number = word.lower.chars().all(|c| c.is_ascii_digit());
        if word.is_of(BRACKETS) {
            // of a weight
            self.close();
            self.before = before;
        } else if word.is_mark() {
            self.close();
            self.role = PhraseRole::Tag;
        } else if word.is_of(MEDIA) && next_is(&["of", "showing"]) {
            // "a close-up photo of a cat" shows the cat
            self.open = None;
            self.before = Before::Medium;
        } else if before == Before::Medium {
            self.role = PhraseRole::Subject;
        } else if word.is_of(PREPOSITIONS) || word.is_of(PLACE_WORDS) && next_is(&["of", "to"]) {
            self.close();
            self.role = PhraseRole::Place;
        } else if word.is_of(&["that"]) && self.open.is_some() {
            self.close(); // "the statue that stands"
        } else if word.is_of(CONJUNCTIONS) {
            self.close();
            // "holding a cup and a plate", but "on the grass and a cat"
            if self.role != PhraseRole::Object {
                self.role = PhraseRole::Subject;
            }
        } else if word.is_of(DETERMINERS) || is_number {
            let ended = self.open.is_some();
            self.close();
            if ended || self.role == PhraseRole::Tag {
                self.role = PhraseRole::Subject;
            }
            self.before = Before::Determiner;
        } else if word.is_of(CLAUSE_WORDS)
            || word.is_of(ADVERBS)
            || word.lower.ends_with("ly") && !word.is_of(NOUNS_IN_LY)
        {
            self.close();
        } else if before != Before::Determiner
            && (word.is_of(VERBS) || self.is_participle(word, next))
        {
            self.close();
            self.role = PhraseRole::Object;
        } else {
            let last = word.lower.clone();
            let start = self.open.as_ref().map_or(word.bytes.start, |open| open.0);
            self.open = Some((start, word.bytes.end, last));
        }
    }

    /// Whether a word says what the phrase before it does.
    fn is_participle(&self, word: &Word, next: Option<&Word>) -> bool {
        let ends = |class| next.is_none_or(|next| next.is_mark() || next.is_of(class));
        let behind_a_noun = self.open.is_some();
        let active =
            word.lower.len() > 4 && word.lower.ends_with("ing") && !word.is_of(NO_PARTICIPLES);
        let passive = word.lower.len() > 3 && word.lower.ends_with("ed");
        let after_verb = self.open.is_none() && self.role == PhraseRole::Object;
        let closes = ends(PREPOSITIONS) || ends(DETERMINERS) || ends(CONJUNCTIONS) || ends(ADVERBS);
        (active && (after_verb || behind_a_noun && closes))
            || (passive && (behind_a_noun || after_verb) && ends(PREPOSITIONS))
    }

    fn close(&mut self) {
        let Some((start, end, last)) = self.open.take() else {
            return;
        };
        let praises = QUALITIES.contains(&last.as_str());
        if !(praises && self.role == PhraseRole::Tag) {
            self.phrases.push(NounPhrase {
                text: self.prompt[start..end].to_owned(),
                bytes: start..end,
                role: self.role,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PhraseRole, noun_phrases};

    const TABLE: &[(&str, &[(&str, char)])] = &[
        ("a cat", &[("cat", 's')]),
        ("a cat on the beach", &[("cat", 's'), ("beach", 'p')]),
        (
            "an apple and a rocket on the beach",
            &[("apple", 's'), ("rocket", 's'), ("beach", 'p')],
        ),
        (
            "in a yellow room a car and a penguin",
            &[("yellow room", 'p'), ("car", 's'), ("penguin", 's')],
        ),
        (
            "a car in a yellow room and a penguin",
            &[("car", 's'), ("yellow room", 'p'), ("penguin", 's')],
        ),
        (
            "under the night sky a penguin",
            &[("night sky", 'p'), ("penguin", 's')],
        ),
        ("a banana at night", &[("banana", 's'), ("night", 'p')]),
        (
            "A statue is reading the book in the cafe, best quality, high quality",
            &[("statue", 's'), ("book", 'o'), ("cafe", 'p')],
        ),
        (
            "a dog running on the grass",
            &[("dog", 's'), ("grass", 'p')],
        ),
        (
            "a red running shoe on a table",
            &[("red running shoe", 's'), ("table", 'p')],
        ),
        ("a cat sleeping", &[("cat", 's')]),
        ("a cat wearing a top hat", &[("cat", 's'), ("top hat", 'o')]),
        (
            "a man holding two red balloons",
            &[("man", 's'), ("red balloons", 'o')],
        ),
        ("a photo of a backpack", &[("backpack", 's')]),
        ("a close-up photo of a shaggy dog", &[("shaggy dog", 's')]),
        ("an oil painting of my cat", &[("cat", 's')]),
        (
            "a dog in front of the Eiffel Tower",
            &[("dog", 's'), ("Eiffel Tower", 'p')],
        ),
        (
            "a vase on top of a wooden table",
            &[("vase", 's'), ("wooden table", 'p')],
        ),
        (
            "a teapot next to a cup of tea",
            &[("teapot", 's'), ("cup", 'p'), ("tea", 'p')],
        ),
        (
            "a bear dressed as a knight",
            &[("bear", 's'), ("knight", 'p')],
        ),
        ("a chair made of glass", &[("chair", 's'), ("glass", 'p')]),
        (
            "a red-haired woman walking her dog through the city",
            &[("red-haired woman", 's'), ("dog", 'o'), ("city", 'p')],
        ),
        ("a cat, masterpiece, 8k, highly detailed", &[("cat", 's')]),
        (
            "a cat, a dog, a bird",
            &[("cat", 's'), ("dog", 's'), ("bird", 's')],
        ),
        ("cat", &[("cat", 's')]),
        ("t-shirt", &[("t-shirt", 's')]),
        ("the girl's dress", &[("girl's dress", 's')]),
        ("a wedding ring", &[("wedding ring", 's')]),
        (
            "a building at sunset",
            &[("building", 's'), ("sunset", 'p')],
        ),
        ("a very big elephant", &[("big elephant", 's')]),
        ("a beautifully decorated cake", &[("decorated cake", 's')]),
        (
            "the statue that stands in the park",
            &[("statue", 's'), ("park", 'p')],
        ),
        ("a boy who plays guitar", &[("boy", 's'), ("guitar", 'o')]),
        ("a toy covered with moss", &[("toy", 's'), ("moss", 'p')]),
        (
            "a monster toy and its box in the snow",
            &[("monster toy", 's'), ("box", 's'), ("snow", 'p')],
        ),
        (
            "a cat with a mountain in the background",
            &[("cat", 's'), ("mountain", 'p'), ("background", 'p')],
        ),
        ("a cat, studio lighting", &[("cat", 's')]),
        (
            "a castle made of sand, waves, blue sky",
            &[
                ("castle", 's'),
                ("sand", 'p'),
                ("waves", 't'),
                ("blue sky", 't'),
            ],
        ),
        ("1 cat and 2 dogs", &[("cat", 's'), ("dogs", 's')]),
        ("<my-cat> on a sofa", &[("<my-cat>", 's'), ("sofa", 'p')]),
        ("a café in Paris", &[("café", 's'), ("Paris", 'p')]),
        ("a sheep, and a goat.", &[("sheep", 's'), ("goat", 's')]),
        (
            "a duckling swimming in a pond",
            &[("duckling", 's'), ("pond", 'p')],
        ),
        (
            "a small blue car parked on a city street",
            &[("small blue car", 's'), ("city street", 'p')],
        ),
        ("a fly on the left shoe", &[("fly", 's'), ("shoe", 'p')]),
        ("a portrait of a king", &[("king", 's')]),
        (
            "a (cat:1.2) on the [beach]",
            &[("cat", 's'), ("beach", 'p')],
        ),
        (
            "a butterfly on a family portrait",
            &[("butterfly", 's'), ("family portrait", 'p')],
        ),
        ("is", &[]),
        ("", &[]),
        ("!?,", &[]),
    ];

    #[test]
    fn phrases_of_many_prompts() {
        let mut wrong = Vec::new();
        for (prompt, expected) in TABLE {
            let phrases = noun_phrases(prompt);
            for phrase in &phrases {
                assert_eq!(prompt[phrase.bytes.clone()], phrase.text);
            }
            let role = |role| match role {
                PhraseRole::Subject => 's',
                PhraseRole::Object => 'o',
                PhraseRole::Place => 'p',
                PhraseRole::Tag => 't',
            };
            let found: Vec<_> = phrases
                .iter()
                .map(|p| (p.text.as_str(), role(p.role)))
                .collect();
            if found != *expected {
                wrong.push(format!("{prompt}: {found:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
