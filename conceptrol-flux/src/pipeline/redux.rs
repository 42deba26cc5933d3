//! What a request says about pictures in the text stream.

use conceptrol_core::pipeline::{ConceptRequest, Mode, PipelineError, Words};

use crate::pipeline::{
    Request,
    readers::{Reader, Readers},
};

/// What stands before the picture tokens of a Redux.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ReduxText {
    /// The prompt.
    #[default]
    Prompt,
    /// Zeros in the place of text and pooled text, as in diffusers' `FluxPriorReduxPipeline` without text encoders. The
    /// prompt has to be empty.
    Zeros,
}

/// How several pictures of a Redux go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ReduxPictures {
    /// Each has tokens of its own, so that each can keep to its concept's words.
    #[default]
    Beside,
    /// The sequences of text and picture are added, each times its factor, as diffusers has it. The pictures then share
    /// their tokens, and none has a place of its own.
    Summed,
}

/// Pictures in the text stream (FLUX.1 Redux), with diffusers' defaults.
///
/// ```
/// use conceptrol_flux::pipeline::{Extra, ReduxOptions, ReduxPictures};
///
/// let blend = ReduxOptions::default().pictures(ReduxPictures::Summed).prompt_embeds_scales([0.6, 0.4]);
/// let extra = Extra::default().redux(blend);
/// assert_eq!(extra.redux.prompt_embeds_scale, [0.6, 0.4]);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ReduxOptions {
    /// What stands before the picture tokens.
    pub text: ReduxText,
    /// How several pictures go together.
    pub pictures: ReduxPictures,
    /// Factors on text and picture tokens: one for all, or one a picture where they are summed.
    pub prompt_embeds_scale: Vec<f32>,
    /// Factors on the pooled text, as many.
    pub pooled_prompt_embeds_scale: Vec<f32>,
    /// The prompts of the second and further pictures that are summed; the request's own if empty.
    pub further_prompts: Vec<String>,
}

impl Default for ReduxOptions {
    fn default() -> Self {
        Self {
            text: ReduxText::default(),
            pictures: ReduxPictures::default(),
            prompt_embeds_scale: vec![1.0],
            pooled_prompt_embeds_scale: vec![1.0],
            further_prompts: Vec::new(),
        }
    }
}

impl ReduxOptions {
    /// Sets what stands before the picture tokens.
    pub fn text(mut self, text: ReduxText) -> Self {
        self.text = text;
        self
    }

    /// Sets how several pictures go together.
    pub fn pictures(mut self, pictures: ReduxPictures) -> Self {
        self.pictures = pictures;
        self
    }

    /// Sets the factors on text and picture tokens.
    pub fn prompt_embeds_scales(mut self, scales: impl IntoIterator<Item = f32>) -> Self {
        self.prompt_embeds_scale = scales.into_iter().collect();
        self
    }

    /// Sets the factors on the pooled text.
    pub fn pooled_prompt_embeds_scales(mut self, scales: impl IntoIterator<Item = f32>) -> Self {
        self.pooled_prompt_embeds_scale = scales.into_iter().collect();
        self
    }

    /// Adds the prompt of a further picture.
    pub fn further_prompt(mut self, prompt: impl Into<String>) -> Self {
        self.further_prompts.push(prompt.into());
        self
    }

    /// The factors of each of `pictures` pictures, on tokens and on the pooled text.
    pub(super) fn factors(&self, pictures: usize) -> Vec<[f32; 2]> {
        let of = |scales: &[f32], picture: usize| scales.get(picture).or(scales.first()).copied();
        let each = (0..pictures).map(|picture| {
            let tokens = of(&self.prompt_embeds_scale, picture);
            let pooled = of(&self.pooled_prompt_embeds_scale, picture);
            [tokens.unwrap_or(1.0), pooled.unwrap_or(1.0)]
        });
        each.collect()
    }
}

/// Whether a concept's picture is read into the text stream.
pub(super) fn is_redux(readers: &Readers, concept: &ConceptRequest) -> bool {
    concept.image.is_some() && matches!(readers.of(concept), Some(Reader::Redux(..)))
}

/// That the options fit each other and the pictures.
pub(super) fn check(readers: &Readers, request: &Request) -> Result<(), PipelineError> {
    let refuse = |name, value: String, expected: &str| {
        Err(PipelineError::bad_request(name, value, expected))
    };
    let options = &request.extra.redux;
    let redux = request
        .concepts
        .iter()
        .filter(|concept| is_redux(readers, concept));
    let pictures: Vec<&ConceptRequest> = redux.filter(|_| request.has_references()).collect();
    let count = pictures.len();
    if count == 0 {
        return match *options == ReduxOptions::default() {
            true => Ok(()),
            false => Err(PipelineError::Unsupported {
                family: "this request",
                what: "picture that is read by a Redux, and options for one".into(),
            }),
        };
    }
    let summed = options.pictures == ReduxPictures::Summed;
    for (name, scales) in [
        (
            "the scale of prompt embeddings",
            &options.prompt_embeds_scale,
        ),
        (
            "the scale of pooled prompt embeddings",
            &options.pooled_prompt_embeds_scale,
        ),
    ] {
        if let Some(scale) = scales.iter().find(|scale| !scale.is_finite()) {
            return refuse(name, scale.to_string(), "finite");
        }
        if scales.len() != 1 && !(summed && scales.len() == count) {
            let expected = match summed {
                true => "one for all pictures, or one each",
                false => "one: the strength of each of several pictures is its concept's scale",
            };
            return refuse(name, format!("{} numbers", scales.len()), expected);
        }
    }
    let further = options.further_prompts.len();
    if further != 0 && !(summed && further + 1 == count) {
        let expected = "one for each summed picture but the first";
        return refuse(
            "the number of further prompts",
            further.to_string(),
            expected,
        );
    }
    if options.text == ReduxText::Zeros {
        let mut prompts = request.prompts.iter().chain(&options.further_prompts);
        if let Some(prompt) = prompts.find(|prompt| !prompt.is_empty()) {
            return refuse(
                "the prompt",
                format!("`{prompt}`"),
                "empty: zeros stand for the text",
            );
        }
        if let Some(concept) = pictures.iter().find(|of| of.words != Words::Everywhere) {
            return Err(PipelineError::NoWords {
                concept: concept.name.clone(),
            });
        }
    }
    if summed && count > 1 {
        if request.mode == Mode::Conceptrol {
            return Err(PipelineError::Unsupported {
                family: "a sum of pictures",
                what: "tokens that keep to the words of one of them".into(),
            });
        }
        if let Some(concept) = pictures.iter().find(|concept| concept.scale != 1.0) {
            let expected =
                "1 where pictures are summed: their factors are the scales of prompt embeddings";
            return refuse(
                "the scale of a concept",
                concept.scale.to_string(),
                expected,
            );
        }
    }
    Ok(())
}
