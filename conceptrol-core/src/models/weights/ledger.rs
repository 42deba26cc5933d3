use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
};

use super::{
    checkpoint::Checkpoint,
    dtype::StoredDType,
    entry::TensorInfo,
    error::{Mismatch, MissingTensor, SHOWN, WeightError, WrongTensor},
    hint,
};

/// What has been asked for so far, shared by all cursors over one source.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// In the order of the first request. Asking again (a streamed block) changes nothing.
    requests: Vec<TensorInfo>,
    seen: HashMap<String, usize>,
    /// Stored names that were used, under whatever name they were asked for.
    consumed: BTreeSet<String>,
    missing: Vec<MissingTensor>,
    wrong: Vec<WrongTensor>,
    ignored: Vec<String>,
    aliases: Vec<Alias>,
    failure: Option<WeightError>,
}

/// Below `scope`, the dotted segments `new` were once called `old`.
#[derive(Debug, Clone)]
struct Alias {
    scope: String,
    new: String,
    old: String,
}

impl Ledger {
    pub(super) fn alias(&mut self, scope: &str, new: &str, old: &str) {
        self.aliases.push(Alias {
            scope: scope.to_owned(),
            new: format!(".{new}."),
            old: format!(".{old}."),
        });
    }

    pub(super) fn ignore(&mut self, prefix: String) {
        self.ignored.push(prefix);
    }

    /// The name under which `checkpoint` holds `name`: itself, or an older spelling of it.
    pub(super) fn resolve(&self, checkpoint: &Checkpoint, name: &str) -> Option<String> {
        if checkpoint.contains(name) {
            return Some(name.to_owned());
        }
        let mut spelling = format!(".{name}.");
        for alias in &self.aliases {
            if is_below(name, &alias.scope) {
                spelling = spelling.replace(&alias.new, &alias.old);
                let old = spelling.trim_matches('.');
                if checkpoint.contains(old) {
                    return Some(old.to_owned());
                }
            }
        }
        None
    }

    /// Notes a request. False if the same name was asked for before, with the shape of then.
    pub(super) fn request(&mut self, name: &str, shape: &[usize], dtype: StoredDType) -> bool {
        if let Some(index) = self.seen.get(name) {
            return self.requests[*index].shape != shape;
        }
        self.seen.insert(name.to_owned(), self.requests.len());
        self.requests.push(TensorInfo {
            name: name.to_owned(),
            dtype,
            shape: shape.to_vec(),
        });
        true
    }

    pub(super) fn consume(&mut self, stored: String) {
        self.consumed.insert(stored);
    }

    pub(super) fn missing(&mut self, name: &str, shape: &[usize]) {
        self.missing.push(MissingTensor {
            name: name.to_owned(),
            shape: shape.to_vec(),
            closest: None,
        });
    }

    pub(super) fn wrong(
        &mut self,
        name: &str,
        expected: &[usize],
        (dtype, found): (StoredDType, &[usize]),
    ) {
        self.wrong.push(WrongTensor {
            name: name.to_owned(),
            expected: expected.to_vec(),
            found: found.to_vec(),
            dtype,
        });
    }

    /// Keeps the first failure to read.
    pub(super) fn fail(&mut self, error: WeightError) {
        self.failure.get_or_insert(error);
    }

    /// The failure, if there is one; it is told once.
    pub(super) fn failure(&mut self) -> Result<(), WeightError> {
        self.failure.take().map_or(Ok(()), Err)
    }

    /// Balances the requests below `scope` against the checkpoint, if there is one.
    pub(super) fn settle(
        &mut self,
        scope: &str,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Vec<TensorInfo>, WeightError> {
        self.failure()?;
        let requests = self.requests.iter().filter(|r| is_below(&r.name, scope));
        let requests: Vec<TensorInfo> = requests.cloned().collect();
        let unexpected: Vec<&str> = checkpoint
            .map(|checkpoint| self.unexpected(scope, checkpoint))
            .unwrap_or_default();
        let mut missing: Vec<MissingTensor> = self.missing.clone();
        missing.retain(|m| is_below(&m.name, scope));
        let mut wrong: Vec<WrongTensor> = self.wrong.clone();
        wrong.retain(|w| is_below(&w.name, scope));
        if missing.is_empty() && unexpected.is_empty() && wrong.is_empty() {
            return Ok(requests);
        }
        for tensor in missing.iter_mut().take(SHOWN) {
            let closest = hint::closest(&tensor.name, unexpected.iter().copied());
            tensor.closest = closest.map(str::to_owned);
        }
        Err(WeightError::Mismatch(Box::new(Mismatch {
            path: checkpoint.map_or_else(PathBuf::new, |c| c.path().to_owned()),
            matched: requests.len().saturating_sub(missing.len() + wrong.len()),
            missing,
            unexpected: unexpected.into_iter().map(str::to_owned).collect(),
            wrong,
        })))
    }

    /// Stored floating point tensors that nobody asked for. Integers are buffers such as `position_ids`.
    fn unexpected<'a>(&self, scope: &str, checkpoint: &'a Checkpoint) -> Vec<&'a str> {
        let is_buffer = |name: &str| {
            checkpoint
                .get(name)
                .is_some_and(|(dtype, _)| !dtype.is_float())
        };
        checkpoint
            .names()
            .filter(|name| is_below(name, scope) && !self.consumed.contains(*name))
            .filter(|name| !self.ignored.iter().any(|prefix| name.starts_with(prefix)))
            .filter(|name| !is_buffer(name))
            .collect()
    }
}

/// Whether `name` is `scope` or lies in it.
fn is_below(name: &str, scope: &str) -> bool {
    scope.is_empty()
        || name
            .strip_prefix(scope)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
