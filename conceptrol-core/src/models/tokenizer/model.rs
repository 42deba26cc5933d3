//! What kind of model a `tokenizer.json` holds.

use std::path::Path;

use serde::Deserialize;

use super::error::TokenizerError;
use super::files::{malformed, parse};
use crate::message::shown;

/// The fields that decide whether the rest is read at all.
#[derive(Deserialize)]
struct Outline {
    model: Kind,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    name: Option<String>,
    dropout: Option<f64>,
}

/// Refuses a model of another kind than `wanted`, and one that draws lots: a prompt must become the same tokens each time.
///
/// Files without a kind are older than the field; their vocabulary tells.
pub(super) fn check_model(
    path: &Path,
    text: &str,
    wanted: &'static str,
) -> Result<(), TokenizerError> {
    let Outline { model } = parse(path, text)?;
    if let Some(name) = model.name.filter(|name| name != wanted) {
        return Err(malformed(
            path,
            format!("its model is {}, {wanted} is expected", shown(&name)),
        ));
    }
    match model.dropout {
        Some(dropout) if dropout != 0.0 => Err(malformed(
            path,
            format!("its model drops merges by chance (dropout {dropout})"),
        )),
        _ => Ok(()),
    }
}
