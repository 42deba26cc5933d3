//! Prompts: one CLIP text encoder for SD1.5, two for SDXL.

use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use conceptrol_core::{
    models::{
        clip_text::{ClipTextConfig, ClipTextError, ClipTextModel, ClipTextStates, own_names},
        lora::{Deltas, LoraTarget, Part},
        textual_inversion::{Encoder, LearntWord, TextualInversion, TextualInversionError},
        tokenizer::{ClipTokenizer, EncodedPrompt},
    },
    pipeline::{LoadOptions, ModelFiles, PipelineError},
};

use crate::{
    config::UNetConfig,
    lora::text_target,
    prompt::{Reading, Rows},
    published::Published,
};

/// Subfolders of tokenizer and encoder, of the first and of the second text encoder.
const FOLDERS: [[&str; 2]; 2] = [
    ["tokenizer", "text_encoder"],
    ["tokenizer_2", "text_encoder_2"],
];

/// Tokenizers and configurations of the text encoders of a checkpoint.
#[derive(Debug)]
pub struct TextParts {
    first: TextPart,
    second: Option<TextPart>,
}

#[derive(Debug)]
struct TextPart {
    tokenizer: ClipTokenizer,
    config: ClipTextConfig,
    /// Files with words at the end of the vocabulary, in its order.
    learnt: Vec<(TextualInversion, LearntWord)>,
}

impl TextParts {
    /// Reads `tokenizer` and the configuration of `text_encoder` of a model, and of `tokenizer_2` and `text_encoder_2` where
    /// they are. What is in no file is as in the published model.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] for files that are missing or malformed.
    pub fn open(files: &ModelFiles, published: Option<Published>) -> Result<Self, PipelineError> {
        let encoders = published.map(Published::text_encoders).unwrap_or_default();
        let [_, second] = FOLDERS;
        Ok(Self {
            first: TextPart::open(files, 0, encoders.first())?,
            second: files
                .has(second[1])
                .then(|| TextPart::open(files, 1, encoders.get(1)))
                .transpose()?,
        })
    }

    /// Adds the learnt words of a file to the encoders they are for.
    ///
    /// # Errors
    ///
    /// [`TextualInversionError`] for vectors that fit no encoder, and words that are tokens already.
    pub fn learn(&mut self, file: &TextualInversion) -> Result<(), TextualInversionError> {
        for word in file.words() {
            let mut parts: Vec<&mut TextPart> = match word.encoder {
                Encoder::First => vec![&mut self.first],
                Encoder::Second => self.second.iter_mut().collect(),
                _ => std::iter::once(&mut self.first)
                    .chain(&mut self.second)
                    .collect(),
            };
            let width = |part: &TextPart| part.config.encoder.hidden_size;
            let expected = parts.iter().map(|part| width(part)).collect();
            match parts.iter_mut().find(|part| width(part) == word.width) {
                Some(part) => part.learn(file, word)?,
                None => {
                    return Err(TextualInversionError::Width {
                        path: file.path().to_owned(),
                        token: word.token.clone(),
                        found: word.width,
                        expected,
                    });
                }
            }
        }
        Ok(())
    }

    /// The tokenizer that concepts are located with.
    pub const fn tokenizer(&self) -> &ClipTokenizer {
        &self.first.tokenizer
    }

    /// The tokenizer of the second encoder, if there is one.
    pub fn tokenizer_2(&self) -> Option<&ClipTokenizer> {
        Some(&self.second.as_ref()?.tokenizer)
    }

    /// Whether there is a second encoder, as in SDXL.
    pub const fn is_dual(&self) -> bool {
        self.second.is_some()
    }

    /// That these encoders give what the UNet reads; `sizes` is the number of picture sizes that go in beside the pooled
    /// text.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Mismatch`] with both numbers.
    pub fn check(&self, unet: &UNetConfig, sizes: usize) -> Result<(), PipelineError> {
        let expect = |part, found, expected| {
            let axis = "channels";
            let wrong = PipelineError::Mismatch {
                part,
                axis,
                found,
                expected,
            };
            (found == expected).then_some(()).ok_or(wrong)
        };
        let second = self.second.as_ref().map(|part| &part.config);
        let width = |config: &ClipTextConfig| config.encoder.hidden_size;
        let width = width(&self.first.config) + second.map_or(0, width);
        expect("the text", width, unet.context_dim)?;
        let Some(added) = &unet.added else {
            return Ok(());
        };
        let pooled = second.map_or(0, |config| config.projection_dim);
        let found = pooled + sizes * added.sinusoid_dim;
        expect("pooled text with picture sizes", found, added.input_dim)
    }

    /// Loads the encoders with these changes.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] for weights that are missing, malformed or of another model.
    pub fn load<X>(
        &self,
        files: &ModelFiles,
        options: &LoadOptions<X>,
        deltas: impl Fn(Part) -> Arc<Deltas>,
    ) -> Result<TextEncoders, PipelineError> {
        let [first, second] = FOLDERS;
        let load = |part: &TextPart, [_, name]: [&str; 2], which: Part| {
            let build = |weights: &_| ClipTextModel::new(&part.config, weights);
            let checkpoint = own_names(&files.checkpoint(name)?)?;
            let weights = options.weights(checkpoint, options.dtype);
            let model = weights.merging(deltas(which)).build(build)?;
            part.with_words(model, &options.device)
        };
        Ok(TextEncoders {
            first: load(&self.first, first, Part::ClipL)?,
            second: self
                .second
                .as_ref()
                .map(|part| load(part, second, Part::ClipG))
                .transpose()?,
        })
    }

    /// What low-rank adapters may change of the encoders.
    pub fn lora_targets(&self, device: &Device) -> Vec<LoraTarget> {
        let first = text_target(&self.first.config, false, device);
        let second = self.second.as_ref();
        let second = second.map(|part| text_target(&part.config, true, device));
        std::iter::once(first).chain(second).collect()
    }
}

impl TextPart {
    /// The first (0) or second (1) encoder.
    fn open(
        files: &ModelFiles,
        index: usize,
        published: Option<&ClipTextConfig>,
    ) -> Result<Self, PipelineError> {
        let [tokenizer, encoder] = FOLDERS[index];
        let config = files.configuration(&format!("{encoder}/config.json"));
        Ok(Self {
            tokenizer: match files.configuration(tokenizer) {
                Some(folder) => ClipTokenizer::open(folder)?,
                None => Published::tokenizer(index == 1),
            },
            config: match (config, published) {
                (Some(path), _) => ClipTextConfig::from_file(path)?,
                (None, Some(config)) => config.clone(),
                (None, None) => {
                    let what = format!("published {encoder} of these sizes");
                    return Err(PipelineError::Unsupported {
                        family: "Stable Diffusion",
                        what,
                    });
                }
            },
            learnt: Vec::new(),
        })
    }

    /// Adds a word behind those that are there.
    fn learn(
        &mut self,
        file: &TextualInversion,
        word: &LearntWord,
    ) -> Result<(), TextualInversionError> {
        let learnt: usize = self.learnt.iter().map(|(_, word)| word.vectors).sum();
        let id = |index| u32::try_from(index).expect("a vocabulary has fewer than 2^32 tokens");
        let first = self.config.vocab_size + learnt;
        let ids = id(first)..id(first + word.vectors);
        let added = self.tokenizer.add(&word.token, ids);
        added.map_err(|_| TextualInversionError::Known {
            path: file.path().to_owned(),
            token: word.token.clone(),
        })?;
        self.learnt.push((file.clone(), word.clone()));
        Ok(())
    }

    /// The encoder with the vectors of learnt words.
    fn with_words(
        &self,
        model: ClipTextModel,
        device: &Device,
    ) -> Result<ClipTextModel, PipelineError> {
        let vectors = self
            .learnt
            .iter()
            .map(|(file, word)| file.vectors(word, device));
        let vectors: Vec<Tensor<2>> = vectors.collect::<Result<_, _>>()?;
        Ok(match vectors.is_empty() {
            true => model,
            false => model.with_words(Tensor::cat(vectors, 0)),
        })
    }

    /// The rows of every prompt, as many chunks each.
    fn rows(
        &self,
        prompts: &[&str],
        reading: Reading,
        chunks: usize,
    ) -> Result<Vec<Rows>, PipelineError> {
        let rows = prompts.iter().map(|prompt| {
            let rows = Rows::read(&self.tokenizer, prompt, reading)?;
            Ok(rows.padded(chunks))
        });
        rows.collect()
    }
}

/// The text encoders of a checkpoint.
#[derive(Debug)]
pub struct TextEncoders {
    first: ClipTextModel,
    second: Option<ClipTextModel>,
}

/// What a UNet gets of prompts.
#[derive(Debug, Clone)]
pub struct PromptStates {
    /// `[prompts, tokens, context]`
    pub context: Tensor<3>,
    /// `[prompts, pooled]`, SDXL only.
    pub pooled: Option<Tensor<2>>,
}

/// Prompts for the encoders, and how they are read.
#[derive(Debug, Clone, Copy)]
pub struct Prompts<'a> {
    /// What the first encoder reads.
    pub first: &'a [&'a str],
    /// What the second encoder reads, where there is one.
    pub second: &'a [&'a str],
    /// How they are read.
    pub reading: Reading,
    /// Chunks each becomes at least; 1 unless other prompts of the generation are longer.
    pub chunks: usize,
    /// Layers to leave out at the end of the encoders.
    pub clip_skip: usize,
}

impl TextParts {
    /// How many chunks these prompts become at most.
    ///
    /// # Errors
    ///
    /// [`PipelineError::BadRequest`] for a weight in a prompt that is no finite number.
    pub fn chunks(&self, prompts: Prompts<'_>) -> Result<usize, PipelineError> {
        let of = |part: &TextPart, prompts: &[&str], reading| {
            let rows = part.rows(prompts, reading, 0)?;
            Ok::<usize, PipelineError>(rows.iter().map(Rows::chunks).max().unwrap_or(1))
        };
        let first = of(&self.first, prompts.first, prompts.reading)?;
        let second = match &self.second {
            Some(part) => of(part, prompts.second, prompts.reading)?,
            None => 1,
        };
        Ok(first.max(second).max(prompts.chunks))
    }

    /// A prompt as the first encoder reads it, in which concepts are located.
    ///
    /// # Errors
    ///
    /// As [`chunks`](Self::chunks).
    pub fn read(&self, prompt: &str, reading: Reading) -> Result<EncodedPrompt, PipelineError> {
        let tokenizer = &self.first.tokenizer;
        Ok(Rows::read(tokenizer, prompt, reading)?.located(tokenizer, prompt))
    }
}

impl TextEncoders {
    /// Encodes prompts; the second encoder, where there is one, reads prompts of its own.
    ///
    /// SD1.5 takes the last state behind the final layer norm, `clip_skip = k` the one k layers before. SDXL
    /// concatenates the penultimate states of both encoders and takes the projected pooled state of the second, of its
    /// first chunk.
    ///
    /// # Errors
    ///
    /// [`PipelineError::ClipText`] if `clip_skip` is not smaller than the number of layers, and those of reading a prompt.
    pub fn encode(
        &self,
        parts: &TextParts,
        prompts: Prompts<'_>,
    ) -> Result<PromptStates, PipelineError> {
        let chunks = parts.chunks(prompts)?;
        let (reading, skip) = (prompts.reading, prompts.clip_skip);
        let Some((second, part)) = self.second.as_ref().zip(parts.second.as_ref()) else {
            let state = |model: &ClipTextModel, states: &ClipTextStates| match skip {
                0 => Ok(states.last_hidden_state()),
                skip => Ok(model.final_layer_norm(states.hidden_state(skip)?)),
            };
            let rows = parts.first.rows(prompts.first, reading, chunks)?;
            let (context, _) = encode(&self.first, &rows, reading, state)?;
            return Ok(PromptStates {
                context,
                pooled: None,
            });
        };
        let penultimate =
            |_: &ClipTextModel, states: &ClipTextStates| states.hidden_state(skip + 1);
        let rows = parts.first.rows(prompts.first, reading, chunks)?;
        let (context, _) = encode(&self.first, &rows, reading, penultimate)?;
        let rows = part.rows(prompts.second, reading, chunks)?;
        let (context_2, states_2) = encode(second, &rows, reading, penultimate)?;
        let unprojected = || PipelineError::Mismatch {
            part: "text_encoder_2",
            axis: "text projections",
            found: 0,
            expected: 1,
        };
        let pooled = states_2.text_embeds().ok_or_else(unprojected)?;
        let firsts = (0..rows.len()).map(|prompt| pooled.clone().narrow(0, prompt * chunks, 1));
        Ok(PromptStates {
            context: Tensor::cat(vec![context, context_2], 2),
            pooled: Some(match chunks {
                1 => pooled.clone().narrow(0, 0, rows.len()),
                _ => Tensor::cat(firsts.collect(), 0),
            }),
        })
    }
}

/// The states of prompts with their weights, chunks joined along the tokens, `[prompts, tokens, width]`, and all that the
/// encoder says of every chunk, `[prompts x chunks, ..]`.
fn encode(
    model: &ClipTextModel,
    prompts: &[Rows],
    reading: Reading,
    state: impl Fn(&ClipTextModel, &ClipTextStates) -> Result<Tensor<3>, ClipTextError>,
) -> Result<(Tensor<3>, ClipTextStates), PipelineError> {
    let mut ids: Vec<&[u32]> = prompts.iter().flat_map(Rows::ids).collect();
    let count = ids.len();
    let weighting = reading
        .weights
        .filter(|_| prompts.iter().any(Rows::is_weighted));
    if weighting.is_some() {
        ids.extend(prompts.first().map(Rows::without_words));
    }
    let states = model.forward(&ids)?;
    let context = state(model, &states)?;
    let [_, tokens, width] = context.dims();
    let context = match weighting {
        None => context,
        Some(weighting) => {
            let weights: Vec<Vec<f32>> = prompts.iter().flat_map(Rows::weights).cloned().collect();
            let empty = context.clone().narrow(0, count, 1);
            weighting.apply(context.narrow(0, 0, count), &weights, empty)
        }
    };
    let chunks = count / prompts.len();
    let context = context.reshape([prompts.len(), chunks * tokens, width]);
    Ok((context, states))
}
