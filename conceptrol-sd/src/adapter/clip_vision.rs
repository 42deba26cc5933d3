use std::path::Path;

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use conceptrol_core::kernel;
use conceptrol_core::models::clip_text::{ClipEncoder, ClipEncoderConfig};
use conceptrol_core::models::config::{ConfigError, read_config};
use conceptrol_core::models::nn::{Activation, LayerNorm, Linear};
use conceptrol_core::models::weights::Weights;
use serde::Deserialize;

const MODEL: &str = "clip vision";

/// `config.json` of a `CLIPVisionModelWithProjection`.
///
/// The sizes of the transformer must be in the file; the rest has the defaults of `transformers`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct ClipVisionConfig {
    /// Width of the transformer.
    pub hidden_size: usize,
    /// Inner width of the feed-forward part.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Number of heads.
    pub num_attention_heads: usize,
    /// Channels of the picture.
    #[serde(default = "default_num_channels")]
    pub num_channels: usize,
    /// Edge of the picture in pixels.
    #[serde(default = "default_image_size")]
    pub image_size: usize,
    /// Edge of a patch in pixels.
    #[serde(default = "default_patch_size")]
    pub patch_size: usize,
    /// Activation of the feed-forward part.
    #[serde(default = "default_hidden_act")]
    pub hidden_act: Activation,
    /// Epsilon of the layer norms.
    #[serde(default = "default_layer_norm_eps")]
    pub layer_norm_eps: f64,
    /// Width of the projected image embedding.
    #[serde(default = "default_projection_dim")]
    pub projection_dim: usize,
}

impl ClipVisionConfig {
    /// Reads and checks a `config.json`.
    ///
    /// # Errors
    /// If the file cannot be read, lacks a field, or no model can be built from it.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let config: Self = read_config(path)?;
        config.validate()?;
        Ok(config)
    }

    /// States per picture: one for each patch and one for the class.
    pub fn tokens(&self) -> usize {
        (self.image_size / self.patch_size).pow(2) + 1
    }

    /// Checks that a model can be built; the file may be anybody's.
    ///
    /// # Errors
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let size = |field, value, max| ConfigError::check_size(MODEL, field, value, max);
        size("num_channels", self.num_channels, 1 << 6)?;
        size("image_size", self.image_size, 1 << 12)?;
        size("patch_size", self.patch_size, self.image_size)?;
        size("projection_dim", self.projection_dim, 1 << 16)?;
        self.encoder().validate(MODEL)
    }

    fn encoder(&self) -> ClipEncoderConfig {
        ClipEncoderConfig {
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: self.num_attention_heads,
            hidden_act: self.hidden_act,
            layer_norm_eps: self.layer_norm_eps,
        }
    }
}

fn default_num_channels() -> usize {
    3
}

fn default_image_size() -> usize {
    224
}

fn default_patch_size() -> usize {
    32
}

fn default_hidden_act() -> Activation {
    Activation::QuickGelu
}

fn default_layer_norm_eps() -> f64 {
    1e-5
}

fn default_projection_dim() -> usize {
    512
}

/// Why pictures could not be encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClipVisionError {
    /// The pixel values were prepared for another encoder.
    #[error(
        "pixel values of {actual:?}, the image encoder expects [pictures, {channels}, {size}, {size}]"
    )]
    Shape {
        /// Channels of the encoder.
        channels: usize,
        /// Edge of the encoder's pictures.
        size: usize,
        /// Shape given.
        actual: [usize; 4],
    },
}

/// CLIP's image tower with projection, as IP-Adapter uses it.
///
/// Takes normalised pixel values, as CLIP's preprocessing makes them of a picture.
#[derive(Module, Debug)]
pub struct ClipVisionModel {
    class_embedding: Param<Tensor<1>>,
    patch_embedding: Param<Tensor<4>>,
    position_embedding: Param<Tensor<2>>,
    pre_layrnorm: LayerNorm,
    encoder: ClipEncoder,
    post_layernorm: LayerNorm,
    visual_projection: Linear,
    #[module(skip)]
    config: ClipVisionConfig,
}

impl ClipVisionModel {
    /// Builds the model from the root of its checkpoint; `config` has been [validated](ClipVisionConfig::validate).
    pub fn new(config: &ClipVisionConfig, w: &Weights) -> Self {
        let dim = config.hidden_size;
        let patch = config.patch_size;
        let vision = w.at("vision_model");
        let embeddings = vision.at("embeddings");
        embeddings.ignore_unexpected("position_ids");
        let norm = |name| LayerNorm::new(&vision.at(name), dim, config.layer_norm_eps);
        Self {
            class_embedding: embeddings.tensor("class_embedding", [dim]),
            patch_embedding: embeddings
                .at("patch_embedding")
                .tensor("weight", [dim, config.num_channels, patch, patch]),
            position_embedding: embeddings
                .at("position_embedding")
                .tensor("weight", [config.tokens(), dim]),
            pre_layrnorm: norm("pre_layrnorm"), // spelt so in every checkpoint
            encoder: ClipEncoder::new(&config.encoder(), &vision.at("encoder")),
            post_layernorm: norm("post_layernorm"),
            visual_projection: Linear::new(
                &w.at("visual_projection"),
                dim,
                config.projection_dim,
                false,
            ),
            config: config.clone(),
        }
    }

    /// The configuration the model was built from.
    pub fn config(&self) -> &ClipVisionConfig {
        &self.config
    }

    /// The projected class state: what a base IP-Adapter looks at.
    ///
    /// # Shapes
    /// - `pixels`: `[pictures, 3, image_size, image_size]`, normalised
    /// - output: `[pictures, projection_dim]`
    ///
    /// # Errors
    /// If `pixels` has another shape.
    pub fn image_embeds(&self, pixels: Tensor<4>) -> Result<Tensor<2>, ClipVisionError> {
        let x = self.run(pixels, self.config.num_hidden_layers)?;
        let class = self.post_layernorm.forward(x.narrow(1, 0, 1)); // [n, 1, d]
        Ok(self.visual_projection.forward(class.squeeze_dim::<2>(1)))
    }

    /// `hidden_states[-2]`: the states that go into the last layer, without the final norm. What plus and full
    /// IP-Adapters look at.
    ///
    /// # Shapes
    /// - `pixels`: `[pictures, 3, image_size, image_size]`, normalised
    /// - output: `[pictures, tokens, hidden_size]`
    ///
    /// # Errors
    /// If `pixels` has another shape.
    pub fn penultimate(&self, pixels: Tensor<4>) -> Result<Tensor<3>, ClipVisionError> {
        self.run(pixels, self.config.num_hidden_layers - 1)
    }

    /// Pixel values of zero for one picture: the mean grey that stands for "no picture".
    ///
    /// # Shapes
    /// `[1, 3, image_size, image_size]`
    pub fn zero_pixels(&self) -> Tensor<4> {
        let (channels, size) = (self.config.num_channels, self.config.image_size);
        let weight = self.patch_embedding.val();
        Tensor::zeros(
            [1, channels, size, size],
            (&weight.device(), weight.dtype()),
        )
    }

    fn run(&self, pixels: Tensor<4>, layers: usize) -> Result<Tensor<3>, ClipVisionError> {
        let x = self.embed(pixels)?;
        let x = self.pre_layrnorm.forward(x);
        let layers = &self.encoder.layers()[..layers];
        Ok(layers.iter().fold(x, |x, layer| layer.forward(x, false)))
    }

    fn embed(&self, pixels: Tensor<4>) -> Result<Tensor<3>, ClipVisionError> {
        let (channels, size) = (self.config.num_channels, self.config.image_size);
        let [pictures, ..] = pixels.dims();
        if pictures == 0 || pixels.dims()[1..] != [channels, size, size] {
            return Err(ClipVisionError::Shape {
                channels,
                size,
                actual: pixels.dims(),
            });
        }
        let weight = self.patch_embedding.val();
        let pixels = pixels.cast(weight.dtype());
        let patches = kernel::conv2d(pixels, weight, None, self.config.patch_size, [(0, 0); 2]);
        let patches = patches.flatten::<3>(2, 3).swap_dims(1, 2); // [n, patches, d]

        let dim = self.config.hidden_size;
        let class = self
            .class_embedding
            .val()
            .reshape([1, 1, dim])
            .expand([pictures, 1, dim]);
        let positions = self.position_embedding.val().unsqueeze::<3>();
        Ok(Tensor::cat(vec![class, patches], 1) + positions)
    }
}
