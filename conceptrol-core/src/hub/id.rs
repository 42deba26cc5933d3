use std::{fmt, str::FromStr};

use super::HubError;

/// The branch that is meant where none is named.
const MAIN: &str = "main";

/// A model on the hub: `owner/name`, or `owner/name@revision` with a branch, tag or commit.
///
/// ```
/// use conceptrol_core::hub::ModelId;
///
/// let model: ModelId = "black-forest-labs/FLUX.1-schnell@refs/pr/1".parse()?;
/// assert_eq!(model.name(), "black-forest-labs/FLUX.1-schnell");
/// assert_eq!(model.revision(), "refs/pr/1");
/// assert!("models/sd15/unet".parse::<ModelId>().is_err());
/// # Ok::<(), conceptrol_core::hub::HubError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelId {
    name: String,
    revision: String,
}

impl ModelId {
    /// `owner/name`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The branch, tag or commit; `main` if none was named.
    pub fn revision(&self) -> &str {
        &self.revision
    }
}

impl FromStr for ModelId {
    type Err = HubError;

    fn from_str(text: &str) -> Result<Self, HubError> {
        let (name, revision) = text.split_once('@').unwrap_or((text, MAIN));
        let plain = |part: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !part.is_empty()
                && part.chars().all(allowed)
                && !part.contains("..")
                && !part.starts_with('.')
        };
        let mut parts = name.split('/');
        let named = matches!((parts.next(), parts.next(), parts.next()), (Some(owner), Some(name), None) if plain(owner) && plain(name));
        match named && revision.split('/').all(plain) {
            true => Ok(Self {
                name: name.to_owned(),
                revision: revision.to_owned(),
            }),
            false => Err(HubError::Id {
                text: text.to_owned(),
            }),
        }
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.revision == MAIN {
            true => f.write_str(&self.name),
            false => write!(f, "{}@{}", self.name, self.revision),
        }
    }
}
