use burn::module::{Module, Param};
use burn::tensor::{DType, Int, Tensor, TensorData};

use super::{ClipEncoder, ClipTextConfig, ClipTextError, ClipTextStates};
use crate::models::nn::{Embedding, LayerNorm, Linear};
use crate::models::weights::Weights;

/// What a whole CLIP has beside its text tower.
const OTHER_HALF: [&str; 3] = ["vision_model.", "visual_projection.", "logit_scale"];

/// CLIP's text tower: `CLIPTextModel`, or `CLIPTextModelWithProjection` if the configuration says so.
///
/// A `text_model.embeddings.position_ids` buffer, which old files carry, is ignored, and so are the other half of a whole
/// `CLIPModel` and a projection that the configuration does not ask for.
///
/// ```
/// use burn::tensor::{Device, FloatDType};
/// use conceptrol_core::models::clip_text::{ClipTextConfig, ClipTextModel};
/// use conceptrol_core::models::weights::Weights;
///
/// let config = r#"{ "vocab_size": 10, "hidden_size": 8, "intermediate_size": 16,
///     "num_hidden_layers": 2, "num_attention_heads": 2, "eos_token_id": 9 }"#;
/// let config = ClipTextConfig::from_json(config)?;
/// let weights = Weights::random(0, &Device::flex(), FloatDType::F32);
/// let model = ClipTextModel::new(&config, &weights);
///
/// let states = model.forward(&[[0_u32, 4, 5, 9], [0, 6, 9, 9]])?;
/// assert_eq!(states.last_hidden_state().dims(), [2, 4, 8]);
/// assert_eq!(states.pooled().dims(), [2, 8]);
///
/// let error = model.forward(&[[0_u32, 10]]).unwrap_err();
/// assert_eq!(error.to_string(), "token id 10 is outside the text encoder's vocabulary of 10");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Module, Debug)]
pub struct ClipTextModel {
    token_embedding: Embedding,
    position_embedding: Param<Tensor<2>>,
    encoder: ClipEncoder,
    final_layer_norm: LayerNorm,
    text_projection: Option<Linear>,
    #[module(skip)]
    config: ClipTextConfig,
}

impl ClipTextModel {
    /// Builds the model from the root of a text encoder's checkpoint.
    pub fn new(config: &ClipTextConfig, w: &Weights) -> Self {
        let dim = config.encoder.hidden_size;
        for part in OTHER_HALF {
            w.ignore_unexpected(part);
        }
        if !config.has_projection {
            w.ignore_unexpected("text_projection.");
        }
        let text = w.at("text_model");
        let embeddings = text.at("embeddings");
        embeddings.ignore_unexpected("position_ids");
        Self {
            token_embedding: Embedding::new(
                &embeddings.at("token_embedding"),
                config.vocab_size,
                dim,
            ),
            position_embedding: embeddings
                .at("position_embedding")
                .tensor("weight", [config.max_position_embeddings, dim]),
            encoder: ClipEncoder::new(&config.encoder, &text.at("encoder")),
            final_layer_norm: LayerNorm::new(
                &text.at("final_layer_norm"),
                dim,
                config.encoder.layer_norm_eps,
            ),
            text_projection: config
                .has_projection
                .then(|| Linear::new(&w.at("text_projection"), dim, config.projection_dim, false)),
            config: config.clone(),
        }
    }

    /// The model with more words at the end of its vocabulary, `[words, hidden_size]`.
    ///
    /// # Panics
    ///
    /// If the vectors are not `hidden_size` wide.
    #[must_use]
    pub fn with_words(mut self, vectors: Tensor<2>) -> Self {
        self.token_embedding = self.token_embedding.extended(vectors);
        self
    }

    /// The configuration the model was built from.
    pub fn config(&self) -> &ClipTextConfig {
        &self.config
    }

    /// Encodes a batch of prompts, all padded to one length; the padding is attended like any token.
    ///
    /// # Errors
    /// If there is nothing to encode, lengths differ, a prompt is longer than the model or an id outside its vocabulary.
    pub fn forward(&self, ids: &[impl AsRef<[u32]>]) -> Result<ClipTextStates, ClipTextError> {
        let [batch, tokens] = self.check(ids)?;
        let flat: Vec<i32> = ids
            .iter()
            .flat_map(|row| row.as_ref().iter().map(|&id| id as i32))
            .collect();
        let positions = self.position_embedding.val().narrow(0, 0, tokens);
        let device = positions.device();
        let flat = Tensor::<2, Int>::from_data(
            TensorData::new(flat, [batch, tokens]),
            (&device, DType::I32),
        );

        let x = self.token_embedding.forward(flat) + positions.unsqueeze::<3>();
        let hidden = self.encoder.hidden_states(x, true);
        let last = hidden
            .last()
            .expect("the input state is always there")
            .clone();
        let last = self.final_layer_norm.forward(last);

        let rows = ids.iter().enumerate().map(|(row, ids)| {
            let position = self.config.pooled_position(ids.as_ref());
            last.clone().narrow(0, row, 1).narrow(1, position, 1) // [1, 1, d]
        });
        let pooled = Tensor::cat(rows.collect(), 0).squeeze_dim::<2>(1);
        let text_embeds = self
            .text_projection
            .as_ref()
            .map(|projection| projection.forward(pooled.clone()));
        Ok(ClipTextStates::new(hidden, last, pooled, text_embeds))
    }

    /// The final layer norm: what Stable Diffusion 1.x puts behind a skipped-to state.
    ///
    /// # Shapes
    /// `x` and output: `[batch, tokens, hidden_size]`
    pub fn final_layer_norm(&self, x: Tensor<3>) -> Tensor<3> {
        self.final_layer_norm.forward(x)
    }

    fn check(&self, ids: &[impl AsRef<[u32]>]) -> Result<[usize; 2], ClipTextError> {
        let tokens = ids.first().map_or(0, |row| row.as_ref().len());
        if tokens == 0 {
            return Err(ClipTextError::Empty);
        }
        let positions = self.config.max_position_embeddings;
        if tokens > positions {
            return Err(ClipTextError::TooLong { tokens, positions });
        }
        let vocab_size = self.token_embedding.entries();
        for (row, ids) in ids.iter().map(AsRef::as_ref).enumerate() {
            if ids.len() != tokens {
                return Err(ClipTextError::Ragged {
                    row,
                    expected: tokens,
                    actual: ids.len(),
                });
            }
            if let Some(&id) = ids.iter().find(|&&id| id as usize >= vocab_size) {
                return Err(ClipTextError::UnknownId { id, vocab_size });
            }
        }
        Ok([ids.len(), tokens])
    }
}
