//! Weights in prompts, in the notation of A1111 and ComfyUI.

use conceptrol_core::pipeline::PipelineError;

/// What a round bracket multiplies by; a square one divides by it.
const STEP: f32 = 1.1;

/// A part of a prompt with one weight, without its brackets.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Segment {
    pub(super) text: String,
    /// The byte of the prompt that each byte of the text is, and the one behind the last.
    pub(super) origin: Vec<usize>,
    pub(super) weight: f32,
}

/// Parts of a prompt and their weights: `(word)` is 1.1, `[word]` is 1 / 1.1, `(word:1.3)` is 1.3; brackets within brackets
/// multiply. After a backslash a bracket or a backslash is itself, and so is a bracket that closes nothing. What is not
/// closed ends with the prompt.
///
/// # Errors
///
/// [`PipelineError::BadRequest`] for a weight that is no finite number.
pub(super) fn parse(prompt: &str) -> Result<Vec<Segment>, PipelineError> {
    let mut parser = Parser {
        segments: Vec::new(),
        round: Vec::new(),
        square: Vec::new(),
    };
    let mut rest = prompt;
    while let Some(first) = rest.chars().next() {
        let at = prompt.len() - rest.len();
        let mut taken = first.len_utf8();
        match first {
            '\\' if rest[1..].starts_with(['(', ')', '[', ']', '\\']) => {
                taken = 2;
                parser.text(&rest[1..2], at + 1);
            }
            '(' => parser.open(true),
            '[' => parser.open(false),
            ')' if !parser.round.is_empty() => parser.close(true, STEP),
            ']' if !parser.square.is_empty() => parser.close(false, 1.0 / STEP),
            ':' if !parser.round.is_empty() => match weight(rest) {
                Some((number, length)) => {
                    taken = length;
                    parser.close(true, finite(number)?);
                }
                None => parser.text(":", at),
            },
            _ => parser.text(&rest[..taken], at),
        }
        rest = &rest[taken..];
    }
    while !parser.round.is_empty() {
        parser.close(true, STEP);
    }
    while !parser.square.is_empty() {
        parser.close(false, 1.0 / STEP);
    }
    Ok(parser.merged())
}

/// The number in `: number )`, and how many bytes that is.
fn weight(text: &str) -> Option<(&str, usize)> {
    let end = text.find(')')?;
    let number = text[1..end].trim();
    let digits = number.strip_prefix(['+', '-']).unwrap_or(number);
    let is_number = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit() || c == '.');
    is_number.then_some((number, end + 1))
}

fn finite(number: &str) -> Result<f32, PipelineError> {
    let weight = number
        .parse()
        .ok()
        .filter(|weight: &f32| weight.is_finite());
    weight.ok_or_else(|| {
        PipelineError::bad_request("a weight in the prompt", number, "a finite number")
    })
}

#[derive(Debug)]
struct Parser {
    segments: Vec<Segment>,
    /// The first segment within each round bracket that is open.
    round: Vec<usize>,
    square: Vec<usize>,
}

impl Parser {
    fn open(&mut self, round: bool) {
        let first = self.segments.len();
        self.brackets(round).push(first);
        self.segments.push(Segment::empty());
    }

    /// Multiplies the weights of what is within the innermost bracket.
    fn close(&mut self, round: bool, factor: f32) {
        let Some(first) = self.brackets(round).pop() else {
            return;
        };
        for segment in &mut self.segments[first..] {
            segment.weight *= factor;
        }
        self.segments.push(Segment::empty());
    }

    const fn brackets(&mut self, round: bool) -> &mut Vec<usize> {
        match round {
            true => &mut self.round,
            false => &mut self.square,
        }
    }

    /// Adds what begins at this byte of the prompt.
    fn text(&mut self, text: &str, at: usize) {
        if self.segments.is_empty() {
            self.segments.push(Segment::empty());
        }
        if let Some(last) = self.segments.last_mut() {
            last.push(text, (at..at + text.len()).collect());
        }
    }

    /// The segments that have text, neighbours of one weight joined.
    fn merged(self) -> Vec<Segment> {
        let mut merged: Vec<Segment> = Vec::new();
        for segment in self.segments.into_iter().filter(|s| !s.text.is_empty()) {
            match merged.last_mut() {
                Some(last) if last.weight.to_bits() == segment.weight.to_bits() => {
                    last.push(&segment.text, segment.origin);
                }
                _ => merged.push(segment),
            }
        }
        merged
    }
}

impl Segment {
    const fn empty() -> Self {
        Self {
            text: String::new(),
            origin: Vec::new(),
            weight: 1.0,
        }
    }

    fn push(&mut self, text: &str, origin: Vec<usize>) {
        self.text.push_str(text);
        self.origin.extend(origin);
    }

    /// The bytes of the prompt that these bytes of the text are.
    pub(super) fn in_prompt(&self, bytes: &std::ops::Range<usize>) -> std::ops::Range<usize> {
        let at = |byte: usize| self.origin.get(byte).copied().unwrap_or_default();
        match bytes.is_empty() {
            true => at(bytes.start)..at(bytes.start),
            false => at(bytes.start)..at(bytes.end - 1) + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    fn parsed(prompt: &str) -> Vec<(String, f32)> {
        let segments = parse(prompt).expect("weights are numbers");
        for segment in &segments {
            let bytes = segment.origin.iter().map(|byte| prompt.as_bytes()[*byte]);
            assert_eq!(
                bytes.collect::<Vec<u8>>(),
                segment.text.as_bytes(),
                "{prompt}"
            );
        }
        segments.into_iter().map(|s| (s.text, s.weight)).collect()
    }

    fn expect(prompt: &str, expected: &[(&str, f32)]) {
        let found = parsed(prompt);
        let texts: Vec<&str> = found.iter().map(|(text, _)| text.as_str()).collect();
        let wanted: Vec<&str> = expected.iter().map(|(text, _)| *text).collect();
        assert_eq!(texts, wanted, "{prompt}");
        for ((_, found), (text, wanted)) in found.iter().zip(expected) {
            assert!(
                (found - wanted).abs() < 1e-6,
                "{prompt}: {text} has {found}"
            );
        }
    }

    /// The examples of A1111's own `parse_prompt_attention`, and more.
    #[test]
    fn weights_are_those_of_the_notation() {
        expect("normal text", &[("normal text", 1.0)]);
        expect(
            "an (important) word",
            &[("an ", 1.0), ("important", 1.1), (" word", 1.0)],
        );
        expect("(unbalanced", &[("unbalanced", 1.1)]);
        expect("\\(literal\\]", &[("(literal]", 1.0)]);
        expect("(unnecessary)(parens)", &[("unnecessaryparens", 1.1)]);
        expect(
            "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
            &[
                ("a ", 1.0),
                ("house", 1.573),
                (" ", 1.1),
                ("on", 1.0),
                (" a ", 1.1),
                ("hill", 0.55),
                (", sun, ", 1.1),
                ("sky", 1.4641),
                (".", 1.1),
            ],
        );
        expect(
            "a smile :) and (x: -0.5 )",
            &[("a smile :) and ", 1.0), ("x", -0.5)],
        );
        expect("12:30 (at 12:30)", &[("12:30 ", 1.0), ("at 12", 30.0)]);
        expect("é (ü:2)", &[("é ", 1.0), ("ü", 2.0)]);
        expect("()[](:1.2)", &[]);
        expect("", &[]);
    }

    #[test]
    fn a_weight_that_is_no_number_is_an_error() {
        for prompt in ["(a:1.2.3)", &format!("(a:{})", "9".repeat(50))] {
            let error = parse(prompt).expect_err("no weight").to_string();
            assert!(error.contains("a weight in the prompt"), "{error}");
        }
    }
}
