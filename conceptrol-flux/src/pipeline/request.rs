//! What to generate.

use conceptrol_core::models::image::RgbImage;
use conceptrol_core::pipeline::Fidelity;
use conceptrol_core::{ConditionSchedule, Grid, Occurrence};

use crate::error::FluxError;
use crate::latents::token_grid;
use crate::omini::ConditionSize;

/// Most text tokens the published models were trained with.
const TEXT_LIMIT: usize = 512;

/// A reference picture and the words it stands for.
#[derive(Debug, Clone)]
pub struct ConceptRequest {
    /// The words, as they stand in the prompt; empty for the whole prompt.
    pub words: String,
    /// Which occurrence of the words is meant.
    pub occurrence: Occurrence,
    /// The reference picture.
    pub picture: RgbImage,
    /// Factor on the strength of this concept's condition.
    pub scale: f32,
}

impl ConceptRequest {
    /// `picture` stands for the first occurrence of `words`, at full strength.
    pub fn new(words: impl Into<String>, picture: RgbImage) -> Self {
        Self {
            words: words.into(),
            occurrence: Occurrence::default(),
            picture,
            scale: 1.0,
        }
    }
}

/// One generation: a prompt, reference pictures and how to combine them.
///
/// ```
/// use conceptrol_flux::pipeline::FluxRequest;
///
/// let request = FluxRequest { steps: 8, seeds: vec![1, 2], ..FluxRequest::new("a corgi on the beach") };
/// assert_eq!((request.height, request.width), (512, 512));
/// ```
#[derive(Debug, Clone)]
pub struct FluxRequest {
    /// What the picture shows.
    pub prompt: String,
    /// Reference pictures and their words.
    pub concepts: Vec<ConceptRequest>,
    /// Height in pixels, a multiple of 16.
    pub height: usize,
    /// Width in pixels, a multiple of 16.
    pub width: usize,
    /// Number of denoising steps.
    pub steps: usize,
    /// Guidance scale; only models with guidance embedding read it.
    pub guidance: f32,
    /// One picture is made for each seed; it does not depend on the others.
    pub seeds: Vec<u64>,
    /// How strongly the reference pictures act over the steps.
    pub condition: ConditionSchedule,
    /// Size at which reference pictures are read; [`Fidelity::Authors`] always reads 512 x 512.
    pub condition_size: ConditionSize,
    /// Number of T5 tokens.
    pub text_tokens: usize,
    /// Edge in pixels from which the autoencoder decodes in tiles.
    pub vae_tile: Option<usize>,
    /// How words are found and noise is drawn: by the paper, or as the authors' code does.
    pub fidelity: Fidelity,
}

impl FluxRequest {
    /// One 512 x 512 picture with seed 0 in 20 steps, guidance 3.5, the condition at full strength after no warm-up.
    pub fn new(prompt: impl Into<String>) -> Self {
        Self {
            prompt: prompt.into(),
            concepts: Vec::new(),
            height: 512,
            width: 512,
            steps: 20,
            guidance: 3.5,
            seeds: vec![0],
            condition: ConditionSchedule::default().outside(WARM_UP),
            condition_size: ConditionSize::default(),
            text_tokens: TEXT_LIMIT,
            vae_tile: None,
            fidelity: Fidelity::default(),
        }
    }

    /// Checks everything that can be checked without a model; the token grid of the pictures.
    pub(crate) fn grid(&self) -> Result<Grid, FluxError> {
        let refuse = |what, value: String, expected| {
            Err(FluxError::Request {
                what,
                value,
                expected,
            })
        };
        if self.seeds.is_empty() {
            return refuse("the number of seeds", "0".to_owned(), "at least one");
        }
        if !(1..=TEXT_LIMIT).contains(&self.text_tokens) {
            return refuse(
                "the number of text tokens",
                self.text_tokens.to_string(),
                "1 to 512",
            );
        }
        if !self.guidance.is_finite() {
            return refuse("guidance", self.guidance.to_string(), "a finite number");
        }
        let strengths = [self.condition.scale, self.condition.outside];
        let scales = self.concepts.iter().map(|concept| concept.scale);
        if let Some(bad) = strengths
            .into_iter()
            .chain(scales)
            .find(|x| !(x.is_finite() && *x >= 0.0))
        {
            return refuse(
                "a condition scale",
                bad.to_string(),
                "a finite number that is not negative",
            );
        }
        Ok(token_grid(self.height, self.width)?)
    }
}

/// Strength outside the window: the authors' 0.5, below which OminiControl loses the reference altogether.
const WARM_UP: f32 = 0.5;

#[cfg(test)]
mod tests {
    use super::{ConceptRequest, FluxRequest};
    use conceptrol_core::ConditionSchedule;
    use conceptrol_core::models::image::RgbImage;

    #[test]
    fn bad_requests_are_refused_before_anything_is_computed() {
        let request = || FluxRequest::new("a corgi");
        let corgi = ConceptRequest::new("corgi", RgbImage::new(4, 4));
        let cases = [
            (
                FluxRequest {
                    seeds: Vec::new(),
                    ..request()
                },
                "the number of seeds is 0",
            ),
            (
                FluxRequest {
                    text_tokens: 513,
                    ..request()
                },
                "text tokens is 513, expected 1 to 512",
            ),
            (
                FluxRequest {
                    guidance: f32::NAN,
                    ..request()
                },
                "guidance is NaN",
            ),
            (
                FluxRequest {
                    width: 520,
                    ..request()
                },
                "520x512 must be a positive multiple of 16",
            ),
            (
                FluxRequest {
                    condition: ConditionSchedule::default().outside(-1.0),
                    ..request()
                },
                "a condition scale is -1",
            ),
            (
                FluxRequest {
                    concepts: vec![ConceptRequest {
                        scale: f32::INFINITY,
                        ..corgi
                    }],
                    ..request()
                },
                "a condition scale is inf",
            ),
        ];
        for (request, message) in cases {
            let error = request.grid().expect_err("refused").to_string();
            assert!(error.contains(message), "{error}");
        }
        assert!(request().grid().is_ok());
    }
}
