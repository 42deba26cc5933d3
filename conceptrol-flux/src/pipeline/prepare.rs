//! Everything a generation needs before its first step.

use burn::tensor::{DType, FloatDType, Tensor, TensorData};
use conceptrol_core::models::image::{Filter, RgbImage, image_to_tensor, resize};
use conceptrol_core::models::noise::{Generator, NoiseDtype};
use conceptrol_core::pipeline::Fidelity;
use conceptrol_core::{Concept, Grid, TokenSpan, check_disjoint};

use super::model::FluxPipeline;
use super::prompt::PromptStates;
use super::request::{ConceptRequest, FluxRequest};
use crate::error::FluxError;
use crate::latents::{PIXELS_PER_TOKEN, pack};
use crate::omini::{Condition, ConditionSize};
use conceptrol_core::models::scheduler::FlowMatchSchedule;

/// Size at which the authors' code reads every reference picture.
const REFERENCE_SIZE: ConditionSize = ConditionSize::Exact {
    height: 512,
    width: 512,
};

/// A request with its prompt and pictures encoded, its words located and its noise drawn.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Token grid of the pictures.
    pub grid: Grid,
    /// The encoded prompt.
    pub prompt: PromptStates,
    /// The words of every concept.
    pub concepts: Vec<Concept>,
    /// The reference picture of every concept.
    pub conditions: Vec<Condition>,
    /// The noise levels.
    pub schedule: FlowMatchSchedule,
    /// Packed noise, `[images, grid cells, in_channels]`.
    pub latents: Tensor<3>,
}

impl FluxPipeline {
    /// Encodes prompt and reference pictures, locates the words and draws the noise of a request.
    ///
    /// # Errors
    /// [`FluxError`] for a request the model cannot serve.
    pub fn prepare(&self, request: &FluxRequest) -> Result<Prepared, FluxError> {
        let grid = request.grid()?;
        let schedule = self.schedule.schedule(request.steps, grid.cells())?;
        let prompt = self.encode_prompt(&request.prompt, request.text_tokens)?;
        let concepts = self.locate(request, &prompt)?;
        let mut generators: Vec<Generator> = request
            .seeds
            .iter()
            .map(|seed| Generator::new(*seed))
            .collect();
        let shape = [
            1,
            self.config().latent_channels(),
            2 * grid.height,
            2 * grid.width,
        ];
        let noise = generators
            .iter_mut()
            .map(|generator| pack(self.noise(generator, shape)));
        let latents = Tensor::cat(noise.collect(), 0);
        // The authors' code samples the posterior with the numbers that follow those of the latents.
        let conditions = request
            .concepts
            .iter()
            .map(|concept| match request.fidelity {
                Fidelity::Paper => {
                    self.encode_condition(&concept.picture, request.condition_size, None)
                }
                Fidelity::Authors => {
                    self.encode_condition(&concept.picture, REFERENCE_SIZE, generators.first_mut())
                }
            });
        let conditions = conditions.collect::<Result<_, _>>()?;
        Ok(Prepared {
            grid,
            prompt,
            concepts,
            conditions,
            schedule,
            latents,
        })
    }

    /// Encodes a reference picture; `noise` gives the standard normal numbers for a sample of the autoencoder's posterior,
    /// without it the mean is taken.
    ///
    /// # Errors
    /// [`FluxError`] if the picture is empty or the size cannot be encoded.
    pub fn encode_condition(
        &self,
        picture: &RgbImage,
        size: ConditionSize,
        noise: Option<&mut Generator>,
    ) -> Result<Condition, FluxError> {
        let grid = size.grid(picture.height() as usize, picture.width() as usize)?;
        let side = |tokens: usize| {
            u32::try_from(PIXELS_PER_TOKEN * tokens).expect("a grid's sides are limited")
        };
        let picture = resize(
            picture,
            side(grid.width),
            side(grid.height),
            Filter::Bicubic,
        );
        let pixels = image_to_tensor(&picture, self.device()).cast(self.autoencoder_dtype());
        let posterior = self.autoencoder.encode(pixels, None)?;
        let latents = match noise {
            Some(generator) => {
                let shape = posterior.mean().dims();
                posterior.sample(self.noise(generator, shape))
            }
            None => posterior.mean(),
        };
        Ok(Condition {
            tokens: pack(self.autoencoder.scale(latents)),
            grid,
        })
    }

    fn locate(
        &self,
        request: &FluxRequest,
        prompt: &PromptStates,
    ) -> Result<Vec<Concept>, FluxError> {
        let tokens = &prompt.tokens;
        let find = |concept: &ConceptRequest| -> Result<Vec<TokenSpan>, FluxError> {
            if concept.words.is_empty() {
                return Ok(Vec::new());
            }
            let phrase = self.tokenizers().t5.tokens(&concept.words)?;
            Ok(match request.fidelity {
                Fidelity::Paper => tokens.find(&phrase, concept.occurrence)?,
                Fidelity::Authors => vec![tokens.find_as_authors(&phrase)?],
            })
        };
        let found: Vec<_> = request
            .concepts
            .iter()
            .map(find)
            .collect::<Result<_, _>>()?;
        let named = || request.concepts.iter().zip(&found);
        if request.fidelity == Fidelity::Paper {
            let claims = named().map(|(concept, spans)| (concept.words.as_str(), spans.as_slice()));
            check_disjoint(&claims.collect::<Vec<_>>())?;
        }
        let concepts = named().map(|(concept, spans)| {
            let spans = match spans.as_slice() {
                [] => vec![tokens.window()],
                spans => spans.iter().map(|span| span.range()).collect(),
            };
            Concept::new(&concept.words, [spans]).scale(concept.scale)
        });
        Ok(concepts.collect())
    }

    /// Normal numbers as torch draws them in the pipeline's type.
    fn noise(&self, generator: &mut Generator, shape: [usize; 4]) -> Tensor<4> {
        let dtype = match self.dtype() {
            FloatDType::F16 => NoiseDtype::F16,
            FloatDType::BF16 => NoiseDtype::Bf16,
            _ => NoiseDtype::F32,
        };
        let numbers = TensorData::new(generator.randn_in(&shape, dtype), shape);
        Tensor::from_data(numbers, (self.device(), DType::F32))
    }
}
