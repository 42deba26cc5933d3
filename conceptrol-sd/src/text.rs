//! Prompts: one CLIP text encoder for SD1.5, two for SDXL.

use burn::tensor::Tensor;
use conceptrol_core::{
    models::{
        clip_text::{ClipTextConfig, ClipTextModel, ClipTextStates, own_names},
        tokenizer::ClipTokenizer,
    },
    pipeline::{LoadOptions, ModelFiles, PipelineError},
};

use crate::{config::UNetConfig, published::Published};

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

    /// Loads the encoders.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] for weights that are missing, malformed or of another model.
    pub fn load<X>(
        &self,
        files: &ModelFiles,
        options: &LoadOptions<X>,
    ) -> Result<TextEncoders, PipelineError> {
        let [first, second] = FOLDERS;
        let load = |part: &TextPart, [_, name]: [&str; 2]| {
            let build = |weights: &_| ClipTextModel::new(&part.config, weights);
            let checkpoint = own_names(&files.checkpoint(name)?)?;
            let model = options.load(checkpoint, options.dtype, build)?;
            Ok::<_, PipelineError>(model)
        };
        Ok(TextEncoders {
            first: load(&self.first, first)?,
            second: self
                .second
                .as_ref()
                .map(|part| load(part, second))
                .transpose()?,
        })
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
        })
    }

    /// The ids of every prompt.
    fn ids(&self, prompts: &[&str]) -> Vec<Vec<u32>> {
        let ids = |prompt: &&str| self.tokenizer.encode(prompt).ids;
        prompts.iter().map(ids).collect()
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

impl TextEncoders {
    /// Encodes prompts; the second encoder, where there is one, reads `prompts_2`.
    ///
    /// SD1.5 takes the last state behind the final layer norm, `clip_skip = k` the one k layers before. SDXL
    /// concatenates the penultimate states of both encoders and takes the projected pooled state of the second.
    ///
    /// # Errors
    ///
    /// [`PipelineError::ClipText`] if `clip_skip` is not smaller than the number of layers.
    pub fn encode(
        &self,
        parts: &TextParts,
        prompts: &[&str],
        prompts_2: &[&str],
        clip_skip: usize,
    ) -> Result<PromptStates, PipelineError> {
        let states: ClipTextStates = self.first.forward(&parts.first.ids(prompts))?;
        let (Some(second), Some(part)) = (&self.second, &parts.second) else {
            let context = match clip_skip {
                0 => states.last_hidden_state(),
                skip => self.first.final_layer_norm(states.hidden_state(skip)?),
            };
            return Ok(PromptStates {
                context,
                pooled: None,
            });
        };
        let states_2 = second.forward(&part.ids(prompts_2))?;
        let penultimate = [
            states.hidden_state(clip_skip + 1)?,
            states_2.hidden_state(clip_skip + 1)?,
        ];
        let unprojected = || PipelineError::Mismatch {
            part: "text_encoder_2",
            axis: "text projections",
            found: 0,
            expected: 1,
        };
        Ok(PromptStates {
            context: Tensor::cat(penultimate.into(), 2),
            pooled: Some(states_2.text_embeds().ok_or_else(unprojected)?),
        })
    }
}
