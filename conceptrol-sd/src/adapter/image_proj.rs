use burn::module::Module;
use burn::tensor::Tensor;
use conceptrol_core::models::clip_vision::{ClipVisionConfig, ClipVisionModel};
use conceptrol_core::models::image_projection::ImageProjModel;
use conceptrol_core::models::nn::{Activation, LayerNorm, Linear};
use conceptrol_core::models::weights::Weights;

use super::resampler::NORM_EPS;
use super::{AdapterError, AdapterKind, FaceProjection, Resampler};

/// Which output of the image encoder a projection looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageFeature {
    /// The projected class state.
    Embeds,
    /// All states before the last layer.
    Penultimate,
}

/// From what the image encoder sees to image tokens.
#[derive(Module, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "an adapter has one, most of whose size is in its tensors"
)]
pub enum ImageProjection {
    /// A few tokens from the projected class state (`ip-adapter_*`).
    Base(ImageProjModel),
    /// A few tokens that have looked at all states (`ip-adapter-plus*`).
    Plus(Resampler),
    /// A token for every state (`ip-adapter-full-face_*`).
    Full(FullProjection),
    /// A few tokens from the embedding of a face (`ip-adapter-faceid*`).
    Face(FaceProjection),
}

impl ImageProjection {
    /// Builds the projection from `image_proj` of an adapter file.
    pub fn new(kind: &AdapterKind, w: &Weights) -> Self {
        match kind {
            AdapterKind::Base {
                embedding_dim,
                tokens,
                output_dim,
            } => Self::Base(ImageProjModel::new(*embedding_dim, *tokens, *output_dim, w)),
            AdapterKind::Plus(config) => Self::Plus(Resampler::new(config, w)),
            AdapterKind::Full {
                embedding_dim,
                hidden_dim,
                output_dim,
            } => Self::Full(FullProjection::new(
                *embedding_dim,
                *hidden_dim,
                *output_dim,
                w,
            )),
            AdapterKind::Face(config) => Self::Face(FaceProjection::new(config, w)),
        }
    }

    /// The image tokens of prepared pictures.
    ///
    /// # Shapes
    /// - `pixels`: `[pictures, 3, size, size]`, normalised as the encoder wants
    /// - output: `[pictures, tokens, cross_attention_dim]`
    ///
    /// # Errors
    /// If `pixels` has another size than the encoder's, and [`AdapterError::NeedsFace`] of a `FaceID` adapter. That encoder and
    /// adapter belong together is checked by [`AdapterKind::check_encoder`].
    pub fn image_tokens(
        &self,
        encoder: &ClipVisionModel,
        pixels: Tensor<4>,
    ) -> Result<Tensor<3>, AdapterError> {
        Ok(match self {
            Self::Base(projection) => projection.forward(encoder.image_embeds(pixels)?),
            Self::Plus(projection) => projection.forward(encoder.penultimate(pixels)?),
            Self::Full(projection) => projection.forward(encoder.penultimate(pixels)?),
            Self::Face(_) => return Err(AdapterError::NeedsFace),
        })
    }

    /// The tokens that stand for "no picture" in the unconditional half of guidance.
    ///
    /// A base adapter projects an embedding of zeros; the others project what the encoder makes of
    /// [pixel values of zero](ClipVisionModel::zero_pixels).
    ///
    /// # Shapes
    /// `[1, tokens, cross_attention_dim]`
    ///
    /// # Errors
    /// As [`Self::image_tokens`].
    pub fn unconditional_tokens(
        &self,
        encoder: &ClipVisionModel,
    ) -> Result<Tensor<3>, AdapterError> {
        match self {
            Self::Base(projection) => {
                let pixels = encoder.zero_pixels();
                let embeds = Tensor::zeros(
                    [1, encoder.config().projection_dim],
                    (&pixels.device(), pixels.dtype()),
                );
                Ok(projection.forward(embeds))
            }
            Self::Plus(_) | Self::Full(_) | Self::Face(_) => {
                self.image_tokens(encoder, encoder.zero_pixels())
            }
        }
    }
}

impl AdapterKind {
    /// Which output of the image encoder the adapter looks at.
    pub fn feature(&self) -> ImageFeature {
        match self {
            Self::Base { .. } => ImageFeature::Embeds,
            Self::Plus(_) | Self::Full { .. } | Self::Face(_) => ImageFeature::Penultimate,
        }
    }

    /// Whether it looks at a picture: all do but `FaceID` adapters that are not plus.
    pub fn sees_picture(&self) -> bool {
        match self {
            Self::Face(config) => config.perceiver.is_some(),
            Self::Base { .. } | Self::Plus(_) | Self::Full { .. } => true,
        }
    }

    /// Image tokens per picture.
    pub fn num_tokens(&self, encoder: &ClipVisionConfig) -> usize {
        match self {
            Self::Base { tokens, .. } => *tokens,
            Self::Plus(config) => config.queries,
            Self::Full { .. } => encoder.tokens(),
            Self::Face(config) => config.tokens,
        }
    }

    /// Checks that the adapter was trained with an image encoder of this size.
    ///
    /// # Errors
    /// [`AdapterError::Encoder`] with both widths.
    pub fn check_encoder(&self, encoder: &ClipVisionConfig) -> Result<(), AdapterError> {
        let (feature, expected, actual) = match self {
            Self::Base { embedding_dim, .. } => {
                ("image embedding", *embedding_dim, encoder.projection_dim)
            }
            Self::Plus(config) => (
                "hidden state",
                config.embedding_dim,
                encoder.encoder.hidden_size,
            ),
            Self::Full { embedding_dim, .. } => {
                ("hidden state", *embedding_dim, encoder.encoder.hidden_size)
            }
            Self::Face(config) => match &config.perceiver {
                None => return Ok(()),
                Some(perceiver) => (
                    "hidden state",
                    perceiver.embedding_dim,
                    encoder.encoder.hidden_size,
                ),
            },
        };
        if expected == actual {
            Ok(())
        } else {
            Err(AdapterError::Encoder {
                feature,
                expected,
                actual,
            })
        }
    }
}

/// The projection of full adapters: each state of the encoder becomes a token.
#[derive(Module, Debug)]
pub struct FullProjection {
    first: Linear,
    second: Linear,
    norm: LayerNorm,
}

impl FullProjection {
    /// Builds the module from `image_proj` of an adapter file.
    pub fn new(embedding_dim: usize, hidden_dim: usize, output_dim: usize, w: &Weights) -> Self {
        let w = w.at("proj"); // a sequence of linear, gelu, linear, norm
        Self {
            first: Linear::new(&w.at(0), embedding_dim, hidden_dim, true),
            second: Linear::new(&w.at(2), hidden_dim, output_dim, true),
            norm: LayerNorm::new(&w.at(3), output_dim, NORM_EPS),
        }
    }

    /// The image tokens of pictures.
    ///
    /// # Shapes
    /// - `states`: `[pictures, tokens, embedding_dim]`, the encoder's penultimate states
    /// - output: `[pictures, tokens, output_dim]`
    pub fn forward(&self, states: Tensor<3>) -> Tensor<3> {
        let hidden = Activation::Gelu.forward(self.first.forward(states));
        self.norm.forward(self.second.forward(hidden))
    }
}
