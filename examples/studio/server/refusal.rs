//! What the page is told when something is wrong: a message, and the field it stands beside.

use std::path::Path;

use axum::{
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use conceptrol_core::{message::chain, pipeline::PipelineError};
use serde::Serialize;

/// A message for the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Refusal {
    #[serde(skip)]
    pub(crate) status: StatusCode,
    /// The name of the field, as in [`Settings`](super::settings::Settings); none if it is of no single one.
    pub(crate) field: Option<&'static str>,
    pub(crate) message: String,
}

impl Refusal {
    /// Something is wrong with a field.
    pub(crate) fn of(field: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            field: Some(field),
            message: message.into(),
        }
    }

    /// Something is wrong with the whole.
    pub(crate) fn whole(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            field: None,
            message: message.into(),
        }
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn not_found(what: &str) -> Self {
        let message = format!("{what} is no longer here. Generate it again.");
        Self::whole(StatusCode::NOT_FOUND, message)
    }

    /// What a pipeline says of a request: beside the field that caused it, or else beside `otherwise`.
    pub(crate) fn of_pipeline(
        error: &PipelineError,
        otherwise: Option<&'static str>,
        places: &Places,
    ) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            field: field(error).or(otherwise),
            message: sentence(&places.hidden(&chain(error))),
        }
    }
}

/// The field whose value a pipeline does not take.
fn field(error: &PipelineError) -> Option<&'static str> {
    let named = [
        ("width", "width"),
        ("height", "height"),
        ("guidance", "guidance"),
        ("steps", "steps"),
        ("scale", "scale"),
        ("negative", "negative_prompt"),
        ("scheduler", "scheduler"),
        ("prompt", "prompt"),
    ];
    match error {
        PipelineError::Concept { .. }
        | PipelineError::Overlap(_)
        | PipelineError::NoWords { .. }
        | PipelineError::NoConceptBlock { .. } => Some("concept"),
        PipelineError::NoPicture { .. } | PipelineError::Image(_) => Some("reference"),
        PipelineError::NoAdapter { .. } => Some("adapter"),
        PipelineError::Tokenizer(_) | PipelineError::ClipText(_) => Some("prompt"),
        PipelineError::Scheduler(_) => Some("scheduler"),
        PipelineError::Memory { .. } => Some("width"),
        PipelineError::WrongFamily { .. } | PipelineError::NothingToRepaint { .. } => Some("model"),
        PipelineError::Unsupported { what, .. } if what.contains("negative") => {
            Some("negative_prompt")
        }
        PipelineError::BadRequest { name, .. } => {
            let found = named.iter().find(|(word, _)| name.contains(word));
            found.map(|(_, field)| *field)
        }
        _ => None,
    }
}

/// With a capital, and a full stop at its end.
fn sentence(message: &str) -> String {
    let mut characters = message.chars();
    let first = characters.next().map(|c| c.to_uppercase().to_string());
    let end = if message.ends_with(['.', '!', '?']) {
        ""
    } else {
        "."
    };
    first.unwrap_or_default() + characters.as_str() + end
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, json(&self)).into_response()
    }
}

/// An answer in JSON.
pub(crate) fn json(value: &impl Serialize) -> Response {
    let text = serde_json::to_vec(value).expect("strings and numbers can be written");
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}

/// Places of the server and what the page calls them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places(Vec<(String, String)>);

impl Places {
    /// Calls a place, and what is below it, by a name.
    pub(crate) fn name(&mut self, path: &Path, name: &str) {
        let absolute = std::path::absolute(path).ok();
        let spellings = [Some(path.to_owned()), absolute, path.canonicalize().ok()];
        for spelling in spellings
            .into_iter()
            .flatten()
            .filter(|path| is_place(path))
        {
            self.0
                .push((spelling.to_string_lossy().into_owned(), name.to_owned()));
        }
        // the longest first: a folder within another is called by its own name
        self.0
            .sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
    }

    /// A message without paths of the server: known ones by their names, of others the last part.
    pub(crate) fn hidden(&self, message: &str) -> String {
        let named = (self.0.iter()).fold(message.to_owned(), |message, (path, name)| {
            message.replace(path, name)
        });
        let words = named.split(' ').map(|word| {
            let begin = word
                .find(|c: char| !matches!(c, '`' | '"' | '\'' | '('))
                .unwrap_or(0);
            match word[begin..].starts_with('/') {
                true => word.rsplit('/').next().unwrap_or_default(),
                false => word,
            }
        });
        words.collect::<Vec<_>>().join(" ")
    }
}

/// Whether a path is long enough to be found in a text: `.` and `/` are in every one.
fn is_place(path: &Path) -> bool {
    path.components().count() > 1 || path.as_os_str().len() > 3
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Places;

    #[test]
    fn paths_of_the_server_are_not_shown() {
        let mut places = Places::default();
        places.name(Path::new("/srv/models"), "models");
        places.name(Path::new("/srv/models/cat model"), "cat");
        let hidden = |text| places.hidden(text);
        assert_eq!(
            hidden("/srv/models/cat model/unet/config.json: no"),
            "cat/unet/config.json: no"
        );
        assert_eq!(hidden("see /srv/models/dog"), "see models/dog");
        assert_eq!(
            hidden("in `/root/.cache/x.bin`: 1/2 read"),
            "in x.bin`: 1/2 read"
        );
    }
}
