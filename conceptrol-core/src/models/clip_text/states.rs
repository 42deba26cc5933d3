use burn::tensor::Tensor;

use super::ClipTextError;

/// Everything a pipeline may want of one run of a [`ClipTextModel`](super::ClipTextModel).
#[derive(Debug, Clone)]
pub struct ClipTextStates {
    hidden: Vec<Tensor<3>>,
    last: Tensor<3>,
    pooled: Tensor<2>,
    text_embeds: Option<Tensor<2>>,
}

impl ClipTextStates {
    pub(super) fn new(
        hidden: Vec<Tensor<3>>,
        last: Tensor<3>,
        pooled: Tensor<2>,
        text_embeds: Option<Tensor<2>>,
    ) -> Self {
        Self {
            hidden,
            last,
            pooled,
            text_embeds,
        }
    }

    /// The last layer's state behind the final layer norm (`last_hidden_state`): what Stable Diffusion 1.x uses.
    ///
    /// # Shapes
    /// `[batch, tokens, hidden_size]`
    pub fn last_hidden_state(&self) -> Tensor<3> {
        self.last.clone()
    }

    /// `hidden_states[-(skip + 1)]`, *without* the final layer norm.
    ///
    /// SDXL uses `skip = 1`, the penultimate state, and `skip = 1 + clip_skip`. Stable Diffusion 1.x with a clip skip of
    /// `k` uses `skip = k` behind [`final_layer_norm`](super::ClipTextModel::final_layer_norm).
    ///
    /// # Shapes
    /// `[batch, tokens, hidden_size]`
    ///
    /// # Errors
    /// [`ClipTextError::Skip`] if there are fewer layers than that.
    pub fn hidden_state(&self, skip: usize) -> Result<Tensor<3>, ClipTextError> {
        let layers = self.hidden.len() - 1;
        if skip > layers {
            return Err(ClipTextError::Skip { skip, layers });
        }
        Ok(self.hidden[layers - skip].clone())
    }

    /// The final state at the end-of-text token (`pooler_output`), not projected: FLUX's pooled embedding.
    ///
    /// # Shapes
    /// `[batch, hidden_size]`
    pub fn pooled(&self) -> Tensor<2> {
        self.pooled.clone()
    }

    /// The projected pooled state (`text_embeds`), if the model has a projection: SDXL's pooled embedding.
    ///
    /// # Shapes
    /// `[batch, projection_dim]`
    pub fn text_embeds(&self) -> Option<Tensor<2>> {
        self.text_embeds.clone()
    }
}
