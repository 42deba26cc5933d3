//! Where the authors' code finds a concept's words.

use conceptrol_core::{
    SpanError,
    models::tokenizer::{ClipTokenizer, T5Tokenizer},
};

use crate::{Outcome, case::Case, report::Report};

pub(crate) fn run(case: &Case, report: &mut Report) -> Outcome {
    let clip = ClipTokenizer::open(case.file("clip")?)?;
    let t5 = T5Tokenizer::open(case.file("t5")?)?;
    let rows = case.expected_json()?;
    for (index, row) in rows
        .as_array()
        .ok_or("expected.json is no list")?
        .iter()
        .enumerate()
    {
        let text = |field: &str| row[field].as_str().ok_or(format!("a row without {field}"));
        let (prompt, subject) = (text("prompt")?, text("subject")?);
        let found = clip
            .encode(prompt)
            .tokens
            .find_as_authors(&clip.tokens(subject))
            .map(|span| span.range());
        compare(
            report,
            &format!("{index}.clip"),
            &row["clip"],
            found,
            prompt,
            subject,
        );
        let found = t5
            .encode(prompt, 512)?
            .tokens
            .find_as_authors(&t5.tokens(subject)?)
            .map(|span| span.range());
        compare(
            report,
            &format!("{index}.t5"),
            &row["t5"],
            found,
            prompt,
            subject,
        );
    }
    Ok(())
}

fn compare(
    report: &mut Report,
    name: &str,
    expected: &serde_json::Value,
    found: Result<std::ops::Range<usize>, SpanError>,
    prompt: &str,
    subject: &str,
) {
    let at = |index: usize| {
        expected["span"][index]
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
    };
    let wanted = (expected["status"] == "ok")
        .then(|| at(0).zip(at(1)))
        .flatten();
    let actual = found.as_ref().ok().map(|range| (range.start, range.end));
    report.exact(name, actual == wanted, || {
        format!("{subject:?} in {prompt:?}: {found:?}, expected {expected}")
    });
}
