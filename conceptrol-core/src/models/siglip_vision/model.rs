use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::{SiglipVisionConfig, SiglipVisionError, head::PoolingHead};
use crate::kernel;
use crate::models::clip_text::ClipEncoder;
use crate::models::clip_vision::ClipVisionError;
use crate::models::nn::LayerNorm;
use crate::models::weights::Weights;

/// What a whole `SigLIP` has beside its image tower.
const OTHER_HALF: [&str; 3] = ["text_model.", "logit_scale", "logit_bias"];

/// `SigLIP`'s image tower. The other half of a whole `SiglipModel` is left out.
///
/// Takes normalised pixel values, as [`ClipImageConfig::siglip`](crate::models::image::ClipImageConfig::siglip) makes them
/// of a picture.
///
/// ```
/// use burn::tensor::{Device, FloatDType};
/// use conceptrol_core::models::{
///     image::{ClipImageConfig, RgbImage, clip_tensor}, siglip_vision::{SiglipVisionConfig, SiglipVisionModel}, weights::Weights,
/// };
///
/// let config = SiglipVisionConfig::from_json(r#"{ "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1,
///     "num_attention_heads": 2, "image_size": 28, "patch_size": 14 }"#)?;
/// let device = Device::flex();
/// let model = SiglipVisionModel::new(&config, &Weights::random(1, &device, FloatDType::F32));
/// let pixels = clip_tensor(&[RgbImage::new(40, 30)], &ClipImageConfig::siglip(28), &device)?;
/// assert_eq!(model.states(pixels.clone())?.dims(), [1, 4, 8]);
/// assert_eq!(model.pooled(pixels)?.dims(), [1, 8]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Mirrors `SiglipVisionModel` of transformers 4.48.3.
#[derive(Module, Debug)]
pub struct SiglipVisionModel {
    /// `[dim, channels, patch, patch]`
    patch_weight: Param<Tensor<4>>,
    /// `[dim]`
    patch_bias: Param<Tensor<1>>,
    /// `[tokens, dim]`
    position_embedding: Param<Tensor<2>>,
    encoder: ClipEncoder,
    post_layernorm: LayerNorm,
    head: Option<PoolingHead>,
    #[module(skip)]
    config: SiglipVisionConfig,
}

impl SiglipVisionModel {
    /// Builds the model from the root of its checkpoint.
    pub fn new(config: &SiglipVisionConfig, w: &Weights) -> Self {
        let (dim, patch) = (config.encoder.hidden_size, config.patch_size);
        for part in OTHER_HALF {
            w.ignore_unexpected(part);
        }
        let vision = w.at("vision_model");
        let embeddings = vision.at("embeddings");
        embeddings.ignore_unexpected("position_ids");
        let patches = embeddings.at("patch_embedding");
        let norm = vision.at("post_layernorm");
        Self {
            patch_weight: patches.tensor("weight", [dim, config.num_channels, patch, patch]),
            patch_bias: patches.tensor("bias", [dim]),
            position_embedding: embeddings
                .at("position_embedding")
                .tensor("weight", [config.tokens(), dim]),
            encoder: ClipEncoder::new(&config.encoder, &vision.at("encoder")),
            post_layernorm: LayerNorm::new(&norm, dim, config.encoder.layer_norm_eps),
            head: (config.has_head).then(|| PoolingHead::new(&config.encoder, &vision.at("head"))),
            config: config.clone(),
        }
    }

    /// The configuration the model was built from.
    pub fn config(&self) -> &SiglipVisionConfig {
        &self.config
    }

    /// `last_hidden_state`: a state for each patch, after the final norm. What FLUX.1 Redux looks at.
    ///
    /// # Shapes
    /// - `pixels`: `[pictures, channels, image_size, image_size]`, normalised
    /// - output: `[pictures, tokens, hidden_size]`
    ///
    /// # Errors
    /// If `pixels` has another shape.
    pub fn states(&self, pixels: Tensor<4>) -> Result<Tensor<3>, SiglipVisionError> {
        let layers = self.encoder.layers().iter();
        let x = layers.fold(self.embed(pixels)?, |x, layer| layer.forward(x, false));
        Ok(self.post_layernorm.forward(x))
    }

    /// `pooler_output`: one state for the picture. What `InstantX`'s IP-Adapter for FLUX looks at.
    ///
    /// # Shapes
    /// - `pixels`: `[pictures, channels, image_size, image_size]`, normalised
    /// - output: `[pictures, hidden_size]`
    ///
    /// # Errors
    /// If `pixels` has another shape, or the tower no head.
    pub fn pooled(&self, pixels: Tensor<4>) -> Result<Tensor<2>, SiglipVisionError> {
        let head = self.head.as_ref().ok_or(SiglipVisionError::NoHead)?;
        Ok(head.forward(self.states(pixels)?))
    }

    /// Pixel values of zero for one picture, a mean grey.
    ///
    /// # Shapes
    /// `[1, channels, image_size, image_size]`
    pub fn zero_pixels(&self) -> Tensor<4> {
        let (channels, size) = (self.config.num_channels, self.config.image_size);
        let weight = self.patch_weight.val();
        let options = (&weight.device(), weight.dtype());
        Tensor::zeros([1, channels, size, size], options)
    }

    fn embed(&self, pixels: Tensor<4>) -> Result<Tensor<3>, SiglipVisionError> {
        let (channels, size) = (self.config.num_channels, self.config.image_size);
        let [pictures, ..] = pixels.dims();
        if pictures == 0 || pixels.dims()[1..] != [channels, size, size] {
            let actual = pixels.dims();
            let wrong = ClipVisionError::Shape {
                channels,
                size,
                actual,
            };
            return Err(wrong.into());
        }
        let weight = self.patch_weight.val();
        let pixels = pixels.cast(weight.dtype());
        let bias = Some(self.patch_bias.val());
        let patches = kernel::conv2d(pixels, weight, bias, self.config.patch_size, [(0, 0); 2]);
        let patches = patches.flatten::<3>(2, 3).swap_dims(1, 2); // [n, patches, d]
        Ok(patches + self.position_embedding.val().unsqueeze::<3>())
    }
}
