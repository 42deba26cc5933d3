use crate::kernel;
use crate::models::clip_text::ClipEncoder;
use crate::models::nn::{LayerNorm, Linear};
use crate::models::weights::Weights;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::ClipVisionConfig;

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

/// What a whole CLIP has beside its image tower.
const OTHER_HALF: [&str; 3] = ["text_model.", "text_projection.", "logit_scale"];

/// CLIP's image tower with projection, as IP-Adapter uses it. The other half of a whole `CLIPModel` is left out.
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
    /// Builds the model from the root of its checkpoint.
    pub fn new(config: &ClipVisionConfig, w: &Weights) -> Self {
        let dim = config.encoder.hidden_size;
        let patch = config.patch_size;
        for part in OTHER_HALF {
            w.ignore_unexpected(part);
        }
        let vision = w.at("vision_model");
        let embeddings = vision.at("embeddings");
        embeddings.ignore_unexpected("position_ids");
        let norm = |name| LayerNorm::new(&vision.at(name), dim, config.encoder.layer_norm_eps);
        Self {
            class_embedding: embeddings.tensor("class_embedding", [dim]),
            patch_embedding: embeddings
                .at("patch_embedding")
                .tensor("weight", [dim, config.num_channels, patch, patch]),
            position_embedding: embeddings
                .at("position_embedding")
                .tensor("weight", [config.tokens(), dim]),
            pre_layrnorm: norm("pre_layrnorm"), // spelt so in every checkpoint
            encoder: ClipEncoder::new(&config.encoder, &vision.at("encoder")),
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
        let x = self.run(pixels, self.config.encoder.num_hidden_layers)?;
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
        self.run(pixels, self.config.encoder.num_hidden_layers - 1)
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

        let dim = self.config.encoder.hidden_size;
        let class = self
            .class_embedding
            .val()
            .reshape([1, 1, dim])
            .expand([pictures, 1, dim]);
        let positions = self.position_embedding.val().unsqueeze::<3>();
        Ok(Tensor::cat(vec![class, patches], 1) + positions)
    }
}
