//! Token ids of prompts, usual and odd.

use conceptrol_core::models::tokenizer::{ClipTokenizer, T5Tokenizer};
use serde_json::Value;

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
        let text = row["text"].as_str().ok_or("a row without text")?;
        let mut compare = |what: &str, actual: Vec<u64>| {
            let Some(expected) = ids(&row[what]) else {
                return;
            };
            report.exact(&format!("{index}.{what}"), actual == expected, || {
                format!("{text:?}: {actual:?}, expected {expected:?}")
            });
        };
        compare(
            "clip_ids",
            clip.encode(text).ids.into_iter().map(u64::from).collect(),
        );
        let pieces = t5
            .tokens(text)?
            .into_iter()
            .map(|token| token.id)
            .chain([t5.end_id()]);
        compare("t5_ids", pieces.map(u64::from).collect());
        compare(
            "t5_ids_max32",
            t5.encode(text, 32)?
                .ids
                .into_iter()
                .map(u64::from)
                .collect(),
        );
    }
    Ok(())
}

fn ids(value: &Value) -> Option<Vec<u64>> {
    value.as_array()?.iter().map(Value::as_u64).collect()
}
