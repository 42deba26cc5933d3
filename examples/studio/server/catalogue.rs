//! The models and adapters a page may choose: by label, never by path.

use std::{
    fs,
    path::{Path, PathBuf},
};

use conceptrol_core::{
    message::shown,
    models::weights::{Checkpoint, Format},
    pipeline::model_at,
};
use conceptrol_examples::model::is_flux;
use serde::Serialize;

use super::refusal::{Places, Refusal};

/// The label of the model that comes with the program.
pub(crate) const EMBEDDED: &str = "tiny-sd (embedded)";
/// How deep below an allowed folder models are looked for.
const DEEPEST: usize = 4;
/// Entries of folders that are looked at.
const MOST_ENTRIES: usize = 20_000;

/// A model that may be chosen.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Model {
    pub(crate) label: String,
    #[serde(skip)]
    pub(crate) path: PathBuf,
    /// The adapter that is taken where none is chosen.
    pub(crate) adapter: Option<String>,
    /// What is filled in where the page's user has not chosen.
    pub(crate) defaults: Defaults,
}

/// What a family takes where nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Defaults {
    pub(crate) steps: usize,
    pub(crate) guidance: f64,
    pub(crate) warmup: f64,
}

/// An adapter that may be chosen.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Adapter {
    pub(crate) label: String,
    #[serde(skip)]
    pub(crate) path: PathBuf,
    /// The image encoder it was trained with; the model's if none is known.
    #[serde(skip)]
    pub(crate) encoder: Option<PathBuf>,
}

/// What may be chosen.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Catalogue {
    pub(crate) models: Vec<Model>,
    pub(crate) adapters: Vec<Adapter>,
    /// Whether any model of the hub may be named.
    pub(crate) hub: bool,
    #[serde(skip)]
    pub(crate) places: Places,
}

impl Catalogue {
    /// Adds a model, under its label or one like it that is free.
    pub(crate) fn add_model(
        &mut self,
        label: &str,
        path: &Path,
        adapter: Option<String>,
    ) -> String {
        let label = free(label, |label| {
            self.models.iter().any(|model| model.label == label)
        });
        self.places.name(path, &label);
        self.models.push(Model {
            label: label.clone(),
            path: path.to_owned(),
            adapter,
            defaults: defaults(path),
        });
        label
    }

    /// Adds an adapter. Its image encoder is the one that is given, or lies beside it.
    pub(crate) fn add_adapter(
        &mut self,
        label: &str,
        path: &Path,
        encoder: Option<&Path>,
    ) -> String {
        let label = free(label, |label| {
            self.adapters.iter().any(|adapter| adapter.label == label)
        });
        self.places.name(path, &label);
        let beside = path.parent().map(|folder| folder.join("image_encoder"));
        let beside = beside.filter(|folder| folder.is_dir());
        self.adapters.push(Adapter {
            label: label.clone(),
            path: path.to_owned(),
            encoder: encoder.map(Path::to_owned).or(beside),
        });
        label
    }

    /// Adds every model and adapter in a folder. What a link leads out of it to is left out.
    pub(crate) fn add_folder(&mut self, folder: &Path) -> std::io::Result<()> {
        let root = folder.canonicalize()?;
        let name = root
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        self.places.name(folder, &name);
        let mut left = MOST_ENTRIES;
        self.look(&root, &root, DEEPEST, &mut left)
    }

    fn look(
        &mut self,
        root: &Path,
        folder: &Path,
        depth: usize,
        left: &mut usize,
    ) -> std::io::Result<()> {
        let mut paths: Vec<PathBuf> = fs::read_dir(folder)?
            .take(*left)
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        paths.sort();
        for path in paths {
            *left = left.saturating_sub(1);
            let inside = path.canonicalize().is_ok_and(|real| real.starts_with(root));
            if *left == 0 || !inside {
                continue;
            }
            let label = label(root, &path);
            match (model_at(&path), path.is_dir()) {
                (Ok(model), true) if model.join("model_index.json").is_file() => {
                    self.add_model(&label, &model, None);
                }
                (_, true) if depth > 0 => {
                    // a folder that cannot be read has nothing to choose
                    let _ = self.look(root, &path, depth - 1, left);
                }
                (Ok(file), false) => match kind(&file) {
                    Some(Kind::Model) => drop(self.add_model(&label, &file, None)),
                    Some(Kind::Adapter) => drop(self.add_adapter(&label, &file, None)),
                    None => {}
                },
                _ => {}
            }
        }
        Ok(())
    }

    pub(crate) fn model(&self, label: &str) -> Option<&Model> {
        self.models.iter().find(|model| model.label == label)
    }

    /// The adapter that is chosen, or else the model's.
    ///
    /// # Errors
    ///
    /// If there is none of this label.
    pub(crate) fn adapter(
        &self,
        model: &str,
        chosen: Option<&str>,
    ) -> Result<Option<&Adapter>, Refusal> {
        let own = self.model(model).and_then(|model| model.adapter.as_deref());
        let Some(label) = chosen.or(own) else {
            return Ok(None);
        };
        let found = self.adapters.iter().find(|adapter| adapter.label == label);
        let missing = || {
            Refusal::of(
                "adapter",
                format!("There is no adapter `{}`.", shown(label)),
            )
        };
        found.map(Some).ok_or_else(missing)
    }
}

/// What families do where nothing is said; of a folder that says nothing, Stable Diffusion's.
fn defaults(path: &Path) -> Defaults {
    match is_flux(path).unwrap_or(false) {
        true => Defaults {
            steps: 20,
            guidance: 3.5,
            warmup: 0.0,
        },
        false => Defaults {
            steps: 50,
            guidance: 7.5,
            warmup: 0.2,
        },
    }
}

/// A path below a root, for people; a folder of the hub's cache by the model's name.
fn label(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or(path).to_string_lossy();
    match below.strip_prefix("models--") {
        Some(name) => name.replacen("--", "/", 1),
        None => below.into_owned(),
    }
}

fn free(label: &str, taken: impl Fn(&str) -> bool) -> String {
    let numbered = (2..).map(|number| format!("{label} ({number})"));
    let mut labels = std::iter::once(label.to_owned()).chain(numbered);
    labels
        .find(|label| !taken(label))
        .expect("there are more numbers than labels")
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Model,
    Adapter,
}

/// What a file of weights is: the names of its tensors tell.
fn kind(path: &Path) -> Option<Kind> {
    if Format::of(path)? == Format::Gguf {
        return None; // a transformer alone
    }
    let file = Checkpoint::open(path).ok()?;
    let model = [
        "model.diffusion_model.",
        "state_dict.model.diffusion_model.",
    ];
    // IP-Adapters, those of FLUX, and OminiControl's low-rank layers of a transformer
    let adapter = [
        "ip_adapter.",
        "image_proj.",
        "ip_adapter_proj_model.",
        "double_blocks.0.processor.ip",
        "transformer.",
    ];
    let has = |prefixes: &[&str]| prefixes.iter().any(|prefix| file.has_below(prefix));
    if has(&model) {
        return Some(Kind::Model);
    }
    has(&adapter).then_some(Kind::Adapter)
}
