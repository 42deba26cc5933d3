//! JSON as Python writes it: `Infinity`, `-Infinity` and `NaN` are not JSON, yet genuine configuration files have them.

use serde_json::Value;

/// Parses JSON in which Python's bare `Infinity`, `-Infinity` and `NaN` may stand for numbers.
///
/// They become the strings `"Infinity"`, `"-Infinity"` and `"NaN"`: JSON has no number for them.
/// Published `DPMSolverMultistepScheduler` configurations carry `"lambda_min_clipped": -Infinity`.
///
/// # Errors
///
/// The parser's error when the rest is not JSON.
///
/// ```
/// let value = conceptrol_core::models::config::parse_python_json(r#"{"a": -Infinity, "b": "NaN, no"}"#)?;
/// assert_eq!(value["a"], "-Infinity");
/// assert_eq!(value["b"], "NaN, no");
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn parse_python_json(text: &str) -> Result<Value, serde_json::Error> {
    // The usual file needs no second look.
    serde_json::from_str(text).or_else(|_| serde_json::from_str(&quote_bare_numbers(text)))
}

/// Puts quotes around the bare words outside strings.
fn quote_bare_numbers(text: &str) -> String {
    const WORDS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];
    let mut quoted = String::with_capacity(text.len() + 16);
    let mut rest = text;
    let (mut in_string, mut escaped) = (false, false);
    while let Some(c) = rest.chars().next() {
        if !in_string && let Some(word) = WORDS.iter().find(|word| rest.starts_with(**word)) {
            quoted.extend(["\"", word, "\""]);
            rest = &rest[word.len()..];
            continue;
        }
        match c {
            '"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = in_string && c == '\\' && !escaped;
        quoted.push(c);
        rest = &rest[c.len_utf8()..];
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::parse_python_json;

    #[test]
    fn strings_are_left_alone() {
        let value =
            parse_python_json(r#"{"q\"NaN": [NaN, Infinity], "é": "\\", "x": -Infinity}"#).unwrap();
        assert_eq!(value["q\"NaN"][0], "NaN");
        assert_eq!(value["q\"NaN"][1], "Infinity");
        assert_eq!(value["é"], "\\");
        assert_eq!(value["x"], "-Infinity");
    }

    #[test]
    fn other_words_stay_errors() {
        assert!(parse_python_json("{\"a\": infinity}").is_err());
        assert!(parse_python_json("{\"a\": -").is_err());
    }
}
