//! Files of textual inversion, as diffusers, A1111 and trainers of SDXL write them.

use std::path::Path;

use burn::tensor::{Device, FloatDType, Tensor};

use super::error::TextualInversionError;
use crate::models::weights::{Checkpoint, WeightError};

/// More vectors than a prompt has room for.
const MOST_VECTORS: usize = 75;
/// The key of A1111's safetensors files, which do not say what the word is.
const NAMELESS: &str = "emb_params";
/// Where A1111's torch files keep vectors.
const A1111: &str = "string_to_param.";
/// Where they keep the name of the word.
const A1111_NAME: &str = "name";

/// The text encoder that vectors are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encoder {
    /// The file does not say: the one they fit.
    Fitting,
    /// The first, CLIP-L.
    First,
    /// The second of SDXL, CLIP-G.
    Second,
}

/// Keys that name the encoder, of SDXL's files.
const ENCODERS: [(&str, Encoder); 4] = [
    ("clip_l", Encoder::First),
    ("clip_g", Encoder::Second),
    ("text_encoders_0", Encoder::First),
    ("text_encoders_1", Encoder::Second),
];

/// A word and where its vectors are.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LearntWord {
    /// How prompts write it.
    pub token: String,
    /// The encoder its vectors are for.
    pub encoder: Encoder,
    /// Number of vectors.
    pub vectors: usize,
    /// Their width.
    pub width: usize,
    tensor: String,
}

/// The learnt words of a file; vectors are read when they are needed.
#[derive(Debug, Clone)]
pub struct TextualInversion {
    file: Checkpoint,
    words: Vec<LearntWord>,
}

impl TextualInversion {
    /// Opens a file: one or several tensors whose keys are their words (diffusers), A1111's torch files (the word is their
    /// `name`) and safetensors files, and those of SDXL with a tensor for each encoder. `token` is how prompts write the word;
    /// without it, a file that does not say stands for its own name, as in A1111.
    ///
    /// # Errors
    ///
    /// [`TextualInversionError`] for a file that cannot be read or holds something else, and for a `token` where the file has
    /// several words.
    pub fn open(
        path: impl AsRef<Path>,
        token: Option<&str>,
    ) -> Result<Self, TextualInversionError> {
        Self::of(Checkpoint::open(path)?, token)
    }

    /// A file that is open already.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open) that are about content.
    pub fn of(file: Checkpoint, token: Option<&str>) -> Result<Self, TextualInversionError> {
        let not_one = |reason: String| TextualInversionError::NotOne {
            path: file.path().to_owned(),
            reason,
        };
        let stem = || {
            file.path()
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        };
        let own_name = || Ok::<_, WeightError>(file.metadata()?.remove(A1111_NAME));
        let is_a1111 = file.tensors().any(|tensor| tensor.name.starts_with(A1111));
        let name = match (is_a1111, token) {
            (_, Some(token)) => Some(token.to_owned()),
            (true, None) => Some(own_name()?.unwrap_or_else(stem)),
            (false, None) => None,
        };
        let mut words = Vec::new();
        for tensor in file.tensors() {
            // integers are A1111's ids of a vocabulary that is not ours
            if !tensor.dtype.is_float() || (is_a1111 && !tensor.name.starts_with(A1111)) {
                continue;
            }
            let (vectors, width) = match tensor.shape.as_slice() {
                [width] => (1, *width),
                [vectors, width] => (*vectors, *width),
                shape => {
                    let key = &tensor.name;
                    return Err(not_one(format!("`{key}` has {} axes", shape.len())));
                }
            };
            if !(1..=MOST_VECTORS).contains(&vectors) {
                return Err(not_one(format!("`{}` has {vectors} vectors", tensor.name)));
            }
            let encoder = ENCODERS.iter().find(|(key, _)| *key == tensor.name);
            let nameless = encoder.is_some() || tensor.name == NAMELESS || is_a1111;
            words.push(LearntWord {
                token: match &name {
                    Some(name) => name.clone(),
                    None if nameless => stem(),
                    None => tensor.name.clone(),
                },
                encoder: encoder.map_or(Encoder::Fitting, |(_, encoder)| *encoder),
                vectors,
                width,
                tensor: tensor.name,
            });
        }
        let same = |a: &LearntWord, b: &LearntWord| a.token == b.token && a.encoder == b.encoder;
        let repeated = (words.iter().enumerate())
            .any(|(index, word)| words[..index].iter().any(|other| same(word, other)));
        match words.first() {
            None => Err(not_one("it has no vectors".into())),
            Some(first) if repeated => Err(not_one(format!(
                "several of its tensors would be `{}`",
                first.token
            ))),
            Some(_) => Ok(Self { file, words }),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Its words; one with vectors for two encoders is there twice.
    pub fn words(&self) -> &[LearntWord] {
        &self.words
    }

    /// The vectors of a word, `[vectors, width]`, in f32.
    ///
    /// # Errors
    ///
    /// [`WeightError`] if the file cannot be read any more.
    pub fn vectors(&self, word: &LearntWord, device: &Device) -> Result<Tensor<2>, WeightError> {
        let shape = [word.vectors, word.width];
        let vectors = match self.file.get(&word.tensor).map(|(_, shape)| shape.len()) {
            Some(1) => {
                let vector = self.file.load::<1>(&word.tensor, device, FloatDType::F32)?;
                vector.map(|vector| vector.reshape(shape))
            }
            _ => self.file.load_matrix(&word.tensor, device)?,
        };
        Ok(vectors.expect("checked when the file was opened"))
    }
}
