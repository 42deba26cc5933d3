//! The pictures and prompts that an evaluation is made with: a folder as `examples/assets/world`, or one of DreamBench++.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use conceptrol_core::models::file::{ReadError, read_text};
use conceptrol_examples::folder::files_below;
use serde::{Deserialize, de::DeserializeOwned};

/// Larger lists are no lists of an evaluation.
const LIMIT: u64 = 64 << 20;

/// Data that cannot be read, or do not fit each other.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DataError {
    #[error("{}", path.display())]
    File { path: PathBuf, source: ReadError },
    #[error("{}, line {line}", path.display())]
    Line {
        path: PathBuf,
        line: usize,
        source: serde_json::Error,
    },
    #[error("{}, line {line}: {what}", path.display())]
    Content {
        path: PathBuf,
        line: usize,
        what: String,
    },
    #[error("{} has no entries", path.display())]
    Empty { path: PathBuf },
}

/// A picture with the masks of what its caption names.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scene {
    pub(crate) image: PathBuf,
    pub(crate) caption: String,
    pub(crate) objects: Vec<SceneObject>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SceneObject {
    pub(crate) phrase: String,
    pub(crate) mask: PathBuf,
}

/// What is to be personalised, and its pictures.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Subject {
    pub(crate) id: String,
    pub(crate) phrase: String,
    pub(crate) class: String,
    pub(crate) images: Vec<PathBuf>,
}

/// A prompt that names a subject.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Prompt {
    pub(crate) prompt: String,
    pub(crate) subject: String,
    pub(crate) phrase: String,
    /// Words of the prompt that name other objects.
    #[serde(default)]
    pub(crate) others: Vec<String>,
    /// Words that name the background.
    #[serde(default)]
    pub(crate) setting: Option<String>,
}

/// Words whose map is asked for, in prompts of several kinds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConceptPrompts {
    pub(crate) id: String,
    pub(crate) phrase: String,
    pub(crate) kind: String,
    pub(crate) class: String,
    pub(crate) prompts: Vec<ConceptPrompt>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConceptPrompt {
    pub(crate) prompt: String,
    pub(crate) position: String,
    #[serde(default)]
    pub(crate) others: Vec<String>,
}

/// A folder of data.
#[derive(Debug, Clone)]
pub(crate) struct Data {
    root: PathBuf,
}

impl Data {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// A file's path below the folder, the same on every machine.
    pub(crate) fn name_of(&self, file: &Path) -> String {
        let below = file.strip_prefix(&self.root).unwrap_or(file);
        let parts = below.iter().map(|part| part.to_string_lossy());
        parts.collect::<Vec<_>>().join("/")
    }

    /// The lists and folders that are there.
    pub(crate) fn parts(&self) -> Vec<(&'static str, PathBuf)> {
        let names = [
            "scenes",
            "subjects",
            "prompts.jsonl",
            "concepts.jsonl",
            "images",
            "captions",
        ];
        let parts = names.map(|name| (name, self.root.join(name)));
        parts
            .into_iter()
            .filter(|(_, path)| path.exists())
            .collect()
    }

    /// Scenes, with the paths of their files.
    pub(crate) fn scenes(&self) -> Result<Vec<Scene>, DataError> {
        let path = self.root.join("scenes/scenes.jsonl");
        let mut scenes: Vec<Scene> = lines(&path)?;
        for (line, scene) in scenes.iter_mut().enumerate() {
            let unnamed = scene
                .objects
                .iter()
                .find(|object| object.phrase.is_empty() || !scene.caption.contains(&object.phrase));
            if let Some(object) = unnamed {
                let what = format!("the caption does not name `{}`", object.phrase);
                return Err(content(&path, line, what));
            }
            let beside = |file: &Path| path.with_file_name("").join(file);
            scene.image = beside(&scene.image);
            for object in &mut scene.objects {
                object.mask = beside(&object.mask);
            }
        }
        Ok(scenes)
    }

    /// Subjects by their names, with the paths of their pictures.
    pub(crate) fn subjects(&self) -> Result<BTreeMap<String, Subject>, DataError> {
        if self.is_dream_bench() {
            return Ok(self.dream_bench()?.0);
        }
        let path = self.root.join("subjects/subjects.jsonl");
        let mut subjects = BTreeMap::new();
        for (line, mut subject) in lines::<Subject>(&path)?.into_iter().enumerate() {
            if subject.images.is_empty() {
                return Err(content(&path, line, "no images".into()));
            }
            for image in &mut subject.images {
                *image = path.with_file_name("").join(&*image);
            }
            let id = subject.id.clone();
            if subjects.insert(id.clone(), subject).is_some() {
                return Err(content(&path, line, format!("`{id}` is there twice")));
            }
        }
        Ok(subjects)
    }

    /// Prompts; each names a subject that is there.
    pub(crate) fn prompts(
        &self,
        subjects: &BTreeMap<String, Subject>,
    ) -> Result<Vec<Prompt>, DataError> {
        if self.is_dream_bench() {
            return Ok(self.dream_bench()?.1);
        }
        let path = self.root.join("prompts.jsonl");
        let prompts: Vec<Prompt> = lines(&path)?;
        for (line, prompt) in prompts.iter().enumerate() {
            if !subjects.contains_key(&prompt.subject) {
                let what = format!("there is no subject `{}`", prompt.subject);
                return Err(content(&path, line, what));
            }
            let words = std::iter::once(&prompt.phrase).chain(&prompt.others);
            let absent = |word: &&String| word.is_empty() || !prompt.prompt.contains(*word);
            if let Some(word) = words.chain(&prompt.setting).find(absent) {
                return Err(content(
                    &path,
                    line,
                    format!("the prompt does not say `{word}`"),
                ));
            }
        }
        Ok(prompts)
    }

    /// Concepts and their prompts.
    pub(crate) fn concepts(&self) -> Result<Vec<ConceptPrompts>, DataError> {
        let path = self.root.join("concepts.jsonl");
        let concepts: Vec<ConceptPrompts> = lines(&path)?;
        for (line, concept) in concepts.iter().enumerate() {
            if concept.prompts.is_empty() {
                return Err(content(
                    &path,
                    line,
                    format!("`{}` has no prompts", concept.id),
                ));
            }
        }
        Ok(concepts)
    }

    /// Whether the folder is DreamBench++'s: `images/**/NN.jpg` and `captions/**/NN.txt`.
    fn is_dream_bench(&self) -> bool {
        self.root.join("captions").is_dir() && !self.root.join("prompts.jsonl").exists()
    }

    /// Subjects and prompts of DreamBench++: the first line of a caption file is the subject, the others are prompts. The
    /// words of a prompt that name the subject are the subject's own where they stand in it; prompts without them are
    /// left to methods that need no words, and not used here.
    fn dream_bench(&self) -> Result<(BTreeMap<String, Subject>, Vec<Prompt>), DataError> {
        let captions = self.root.join("captions");
        let files = files_below(&captions).map_err(|source| DataError::File {
            path: captions.clone(),
            source: source.into(),
        })?;
        let (mut subjects, mut prompts) = (BTreeMap::new(), Vec::new());
        for file in files
            .into_iter()
            .filter(|file| file.extension().is_some_and(|x| x == "txt"))
        {
            let text = text(&file)?;
            let mut lines = text.lines().map(str::trim);
            let phrase = lines.next().unwrap_or_default().to_owned();
            if phrase.is_empty() {
                return Err(content(&file, 0, "no subject".into()));
            }
            let below = file.strip_prefix(&captions).unwrap_or(&file);
            let picture = self.root.join("images").join(below).with_extension("jpg");
            let id = below
                .with_extension("")
                .display()
                .to_string()
                .replace(['/', '\\'], "_");
            for prompt in lines.filter(|line| line.contains(&phrase)) {
                prompts.push(Prompt {
                    prompt: prompt.to_owned(),
                    subject: id.clone(),
                    phrase: phrase.clone(),
                    others: Vec::new(),
                    setting: None,
                });
            }
            let subject = Subject {
                id: id.clone(),
                class: phrase.clone(),
                phrase,
                images: vec![picture],
            };
            subjects.insert(id, subject);
        }
        if prompts.is_empty() {
            return Err(DataError::Empty { path: captions });
        }
        Ok((subjects, prompts))
    }
}

fn text(path: &Path) -> Result<String, DataError> {
    read_text(path, LIMIT).map_err(|source| DataError::File {
        path: path.to_owned(),
        source,
    })
}

/// One entry a line; there is at least one.
fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, DataError> {
    let text = text(path)?;
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    let entries = lines.map(|(number, line)| {
        serde_json::from_str(line).map_err(|source| DataError::Line {
            path: path.to_owned(),
            line: number + 1,
            source,
        })
    });
    let entries: Vec<T> = entries.collect::<Result<_, _>>()?;
    if entries.is_empty() {
        return Err(DataError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(entries)
}

fn content(path: &Path, line: usize, what: String) -> DataError {
    DataError::Content {
        path: path.to_owned(),
        line: line + 1,
        what,
    }
}
