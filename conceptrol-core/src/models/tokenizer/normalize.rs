//! The words of a text as CLIP's tokenizer without `ftfy` sees them, each byte with its place in the text.
//!
//! That is what the reference environment runs (the slow `CLIPTokenizer` of transformers): control and format characters
//! vanish, CJK ideographs become words of their own, canonical composition, white space splits, lower case.
//! The files of fast tokenizers (`tokenizer.json`) describe a slightly different rule; see docs/parity.md.

use std::ops::Range;

use tokenizers::NormalizedString;
use tokenizers::normalizer::Range as OffsetRange;
use tokenizers::utils::SysRegex;

/// Characters the reference drops: Unicode category C except tab and line breaks, the replacement character, and
/// what its Python 3.11 does not know yet, because Unicode 14 did not have it.
const DROPPED: &str = r"[[\p{C}\x{FFFD}\P{age=14.0}]--[\t\n\r]]";

/// CLIP's split of a text into words. U+0345 is in none of them: the reference's case-insensitive classes see it as a
/// letter (iota) and as none at the same time, so that nothing matches it.
const WORDS: &str = concat!(
    r"(?i:<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d)|",
    r"\p{L}+|\p{N}|[^\s\p{L}\p{N}\x{345}]+"
);

/// Blocks of CJK ideographs; Hangul, Hiragana and Katakana are not among them.
const IDEOGRAPHS: [Range<u32>; 8] = [
    0x3400..0x4dc0,
    0x4e00..0xa000,
    0xf900..0xfb00,
    0x2_0000..0x2_a6e0,
    0x2_a700..0x2_b740,
    0x2_b740..0x2_b820,
    0x2_b820..0x2_ceb0,
    0x2_f800..0x2_fa20,
];

/// A normalised word.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    /// For each byte of `text`, the bytes of the original it comes from.
    pub(super) origin: Vec<Range<usize>>,
}

/// The normaliser; holds the compiled character classes.
#[derive(Debug)]
pub(super) struct Normalizer {
    dropped: SysRegex,
    words: SysRegex,
}

impl Normalizer {
    pub(super) fn new() -> Self {
        let compile = |pattern| SysRegex::new(pattern).expect("a constant pattern compiles");
        Self {
            dropped: compile(DROPPED),
            words: compile(WORDS),
        }
    }

    /// The words of `text`, in order.
    pub(super) fn words(&self, text: &str) -> Vec<Word> {
        let (cleaned, origin) = self.clean(text);
        let (composed, origin) = compose(&cleaned, &origin);
        let mut words = Vec::new();
        for run in runs(&composed) {
            let (lowered, origin) = lower(&composed[run.clone()], &origin[run]);
            for (start, end) in self.words.find_iter(&lowered) {
                words.push(Word {
                    text: lowered[start..end].to_owned(),
                    origin: origin[start..end].to_vec(),
                });
            }
        }
        words
    }

    /// Drops what is dropped, turns white space into spaces, sets ideographs apart.
    fn clean(&self, text: &str) -> (String, Vec<Range<usize>>) {
        let mut out = Traced::default();
        let mut kept_from = 0;
        for (start, end) in self
            .dropped
            .find_iter(text)
            .chain([(text.len(), text.len())])
        {
            for (i, c) in text[kept_from..start].char_indices() {
                let from = kept_from + i..kept_from + i + c.len_utf8();
                if is_ideograph(c) {
                    out.push(' ', &from);
                    out.push(c, &from);
                    out.push(' ', &from);
                } else {
                    out.push(if is_space(c) { ' ' } else { c }, &from);
                }
            }
            kept_from = end;
        }
        (out.text, out.origin)
    }
}

/// A text that knows where it comes from.
#[derive(Default)]
struct Traced {
    text: String,
    origin: Vec<Range<usize>>,
}

impl Traced {
    fn push(&mut self, c: char, from: &Range<usize>) {
        self.text.push(c);
        self.origin.resize(self.text.len(), from.clone());
    }
}

/// Canonical composition (NFC).
fn compose(text: &str, origin: &[Range<usize>]) -> (String, Vec<Range<usize>>) {
    if text.is_ascii() {
        return (text.to_owned(), origin.to_vec());
    }
    let mut normalized = NormalizedString::from(text);
    normalized.nfc();
    let place = |(i, c): (usize, char)| {
        let bytes = OffsetRange::Normalized(i..i + c.len_utf8());
        (c, normalized.convert_offsets(bytes).unwrap_or_default())
    };
    let mut out = Traced::default();
    let mut rest = normalized.get().char_indices().map(place).peekable();
    while let Some((c, mut from)) = rest.next() {
        // What was composed into this character lies between it and the next one.
        let next = rest.peek().map_or(text.len(), |(_, next)| next.start);
        from.end = from.end.max(next);
        out.push(c, &cover(origin.get(from).unwrap_or_default()));
    }
    (out.text, out.origin)
}

/// Lower case of one run without white space. It is taken of the whole run, as a sigma at the end of a word is special.
fn lower(text: &str, origin: &[Range<usize>]) -> (String, Vec<Range<usize>>) {
    let lowered = text.to_lowercase();
    let mut out = Traced::default();
    let mut rest = lowered.chars();
    for (i, c) in text.char_indices() {
        // Character by character the count is the same as for the whole, the two sigmas have equal length.
        for c in rest.by_ref().take(c.to_lowercase().count()) {
            out.push(c, &origin[i]);
        }
    }
    (out.text, out.origin)
}

/// Ranges between white space, as Python's `str.split` sees it.
fn runs(text: &str) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut start = None;
    for (i, c) in text.char_indices().chain([(text.len(), ' ')]) {
        // Of Python's white space only these are left: the rest are spaces by now, or dropped as control characters.
        match (matches!(c, ' ' | '\u{2028}' | '\u{2029}'), start) {
            (true, Some(from)) => {
                runs.push(from..i);
                start = None;
            }
            (false, None) => start = Some(i),
            _ => {}
        }
    }
    runs
}

fn is_ideograph(c: char) -> bool {
    IDEOGRAPHS.iter().any(|block| block.contains(&(c as u32)))
}

/// Tab, line breaks and Unicode category Zs.
fn is_space(c: char) -> bool {
    matches!(
        c,
        ' ' | '\t' | '\n' | '\r' | '\u{a0}' | '\u{1680}' | '\u{2000}'
            ..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
    )
}

/// The smallest range that holds all of these.
pub(super) fn cover(ranges: &[Range<usize>]) -> Range<usize> {
    let start = ranges.iter().map(|r| r.start).min().unwrap_or_default();
    let end = ranges.iter().map(|r| r.end).max().unwrap_or_default();
    start..end
}
