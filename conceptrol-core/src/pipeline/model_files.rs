//! Where the parts of a model are.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{
    message::shown_path,
    models::weights::{Checkpoint, Files, Format, Mismatch, WeightError, best_checkpoint},
    pipeline::{LoadOptions, PipelineError},
};

/// A part of a model, by the name of its folder in diffusers, and what its tensors' names begin with in a file that holds
/// the whole model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Name of its folder.
    pub name: &'static str,
    /// Beginnings of names; the first that any tensor has is that of the file.
    pub prefixes: &'static [&'static str],
}

/// What a family expects of a file that holds a whole model.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Its parts. A folder has these, too.
    pub parts: &'static [Part],
    /// Beginnings of the names of tensors that nobody needs: what training left, schedules, counters.
    pub left: &'static [&'static str],
    /// Name of the pipeline's class in diffusers.
    pub family: &'static str,
}

/// The files of a model: a folder as diffusers saves it, or one file with all its parts, and perhaps a file for one part and a
/// folder of configurations.
#[derive(Debug, Clone)]
pub struct ModelFiles {
    path: PathBuf,
    layout: Layout,
    /// A folder of configurations in place of the model's.
    given: Option<PathBuf>,
    /// The file of the whole model.
    whole: Option<Checkpoint>,
    /// Files and folders of single parts.
    parts: BTreeMap<String, PathBuf>,
    files: Files,
}

impl ModelFiles {
    /// Looks at what `path` is: a diffusers folder, the root of a model in the cache of the Hugging Face hub, or a file.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Weights`] for a file that cannot be read or holds tensors that belong to no part, and
    /// [`PipelineError::Unsupported`] for the file of a part that the family does not have.
    pub fn open<X>(
        path: &Path,
        layout: Layout,
        options: &LoadOptions<X>,
    ) -> Result<Self, PipelineError> {
        let known = |name: &str| layout.parts.iter().any(|part| part.name == name);
        if let Some(name) = options.parts.keys().find(|name| !known(name)) {
            return Err(PipelineError::Unsupported {
                family: layout.family,
                what: format!("part `{name}`"),
            });
        }
        let path = model_at(path)?;
        let whole = match path.is_dir() {
            true => None,
            false => Some(whole(&path, &layout, options.files)?),
        };
        Ok(Self {
            path,
            layout,
            given: options.configurations.clone(),
            whole,
            parts: options.parts.clone(),
            files: options.files,
        })
    }

    /// What was opened: the folder, or the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file of the whole model, if it is one.
    pub fn whole(&self) -> Option<&Checkpoint> {
        self.whole.as_ref()
    }

    /// A configuration, or another file or folder beside the weights: `vae/config.json`, `tokenizer`. That of a folder of
    /// configurations, of a part's own folder, or of the model's, in this order. Nothing for the file of a whole model without
    /// it; in a folder, where it is to be.
    pub fn configuration(&self, name: &str) -> Option<PathBuf> {
        let given = self.given.as_ref().map(|folder| folder.join(name));
        let own = name.strip_suffix("/config.json");
        let own = own.and_then(|part| self.own_configuration(part));
        let models = self.path.is_dir().then(|| self.path.join(name));
        let mut places = [given, own, models].into_iter().flatten();
        let found = places.find(|place| place.exists());
        // what is missing in a folder is said by who reads it
        found.or_else(|| self.whole.is_none().then(|| self.path.join(name)))
    }

    /// The configuration that lies beside a part's own weights, where they are not the model's: in its folder, or in that of a
    /// file with one of diffusers' names.
    pub fn own_configuration(&self, part: &str) -> Option<PathBuf> {
        let path = self.parts.get(part)?;
        let folder = match path.is_dir() {
            true => path,
            false if is_named_by_diffusers(path) => path.parent()?,
            false => return None,
        };
        let file = folder.join("config.json");
        file.exists().then_some(file)
    }

    /// Whether the weights of a part are not the model's own, and bring no configuration.
    pub fn is_bare(&self, part: &str) -> bool {
        self.parts.contains_key(part) && self.own_configuration(part).is_none()
    }

    /// Whether the model has this part.
    pub fn has(&self, part: &str) -> bool {
        if self.parts.contains_key(part) {
            return true;
        }
        match &self.whole {
            Some(whole) => self.prefix(whole, part).is_some(),
            None => self.path.join(part).exists(),
        }
    }

    /// The tensors of a part, under the names that its own file gives them.
    ///
    /// # Errors
    ///
    /// Those of [`Checkpoint::open`].
    pub fn checkpoint(&self, part: &str) -> Result<Checkpoint, WeightError> {
        self.open_part(part, self.files)
    }

    /// The same to look at only: nothing is mapped.
    ///
    /// # Errors
    ///
    /// As [`checkpoint`](Self::checkpoint).
    pub fn headers(&self, part: &str) -> Result<Checkpoint, WeightError> {
        self.open_part(part, Files::Read)
    }

    fn open_part(&self, part: &str, files: Files) -> Result<Checkpoint, WeightError> {
        match self.parts.get(part) {
            Some(path) => Checkpoint::open_as(path, files),
            None => self.open_models(part, files),
        }
    }

    /// What the model itself has of a part, to look at only, whether or not it is replaced.
    ///
    /// # Errors
    ///
    /// As [`checkpoint`](Self::checkpoint).
    pub fn replaced(&self, part: &str) -> Result<Checkpoint, WeightError> {
        self.open_models(part, Files::Read)
    }

    fn open_models(&self, part: &str, files: Files) -> Result<Checkpoint, WeightError> {
        match &self.whole {
            Some(whole) => Ok(match self.prefix(whole, part) {
                Some(prefix) => whole.strip_prefix(prefix),
                // empty: everything is missing
                None => whole.rename(|_| None),
            }),
            None => Checkpoint::open_as(self.path.join(part), files),
        }
    }

    /// What the names of a part begin with in the file of the whole model.
    fn prefix(&self, whole: &Checkpoint, part: &str) -> Option<&'static str> {
        let part = self.layout.parts.iter().find(|known| known.name == part)?;
        let mut prefixes = part.prefixes.iter().copied();
        prefixes.find(|prefix| whole.has_below(prefix))
    }
}

fn is_named_by_diffusers(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    best_checkpoint(name, None).is_some()
}

/// The file of a whole model, every tensor of which belongs to a part or is known to be left over.
fn whole(path: &Path, layout: &Layout, files: Files) -> Result<Checkpoint, PipelineError> {
    let file = Checkpoint::open_as(path, files)?;
    // what Lightning saved
    let file = match file.has_below("state_dict.") {
        true => file.strip_prefix("state_dict."),
        false => file,
    };
    let parts = layout.parts.iter();
    let prefixes: Vec<&str> = parts.flat_map(|part| part.prefixes).copied().collect();
    let begins = |name: &str, list: &[&str]| list.iter().any(|begin| name.starts_with(begin));
    let others = file.tensors().filter(|tensor| {
        let known = begins(&tensor.name, &prefixes) || begins(&tensor.name, layout.left);
        tensor.dtype.is_float() && !known
    });
    let unexpected: Vec<String> = others.map(|tensor| tensor.name).collect();
    if unexpected.is_empty() {
        return Ok(file);
    }
    let matched = file.len() - unexpected.len();
    Err(WeightError::from(Mismatch::unexpected(path, matched, unexpected)).into())
}

/// The model that a path means: a folder, a file of weights, or the snapshot of a model in the cache of the Hugging Face hub
/// where the path is the root of one there (`models--owner--name`).
///
/// # Errors
///
/// [`PipelineError::NoModel`] for a path where nothing is, or something else.
pub fn model_at(path: &Path) -> Result<PathBuf, PipelineError> {
    let file = path.is_file() && Format::of(path).is_some();
    if !path.is_dir() && !file {
        return Err(PipelineError::NoModel {
            path: path.to_owned(),
        });
    }
    let snapshot = path.is_dir().then(|| in_hub_cache(path)).flatten();
    Ok(snapshot.unwrap_or_else(|| path.to_owned()))
}

/// The snapshot of a model in the cache that the hub's clients share, if `folder` is the root of one: `models--owner--name`
/// with `refs` and `snapshots`.
fn in_hub_cache(folder: &Path) -> Option<PathBuf> {
    let snapshots = folder.join("snapshots");
    if folder.join("model_index.json").exists() || !snapshots.is_dir() {
        return None;
    }
    let main = crate::models::file::read_text(folder.join("refs/main"), 1 << 10);
    if let Ok(commit) = main {
        let commit = Path::new(commit.trim());
        let plain = commit.file_name() == Some(commit.as_os_str());
        let snapshot = plain.then(|| snapshots.join(commit));
        return snapshot.filter(|snapshot| snapshot.is_dir());
    }
    // a revision that has no name
    let mut folders = snapshots
        .read_dir()
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()));
    let only = folders.next()?;
    folders.next().is_none().then_some(only)
}

/// What to say of a path that is no model.
pub(super) fn no_model(path: &Path) -> String {
    let name = path.to_string_lossy();
    let shown = shown_path(path);
    if path.exists() {
        return format!("{shown}: neither a folder of diffusers nor a file of weights");
    }
    let parts = name
        .split('@')
        .next()
        .unwrap_or_default()
        .split('/')
        .count();
    match parts == 2 && !name.starts_with(['.', '/']) {
        true => format!(
            "{shown}: there is no such file or folder; a model on the Hugging Face hub is fetched first (feature `hub`)"
        ),
        false => format!("{shown}: there is no such file or folder"),
    }
}
