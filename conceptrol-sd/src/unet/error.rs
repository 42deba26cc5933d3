use conceptrol_core::{AttentionError, pipeline::PipelineError};

/// Why a U-Net could not be evaluated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UNetError {
    /// An attention site failed.
    #[error(transparent)]
    Attention(#[from] AttentionError),
    /// An input is not as wide as the model was made for.
    #[error("{input}: {found} {axis} instead of {expected}")]
    WrongInput {
        /// The input.
        input: &'static str,
        /// The axis.
        axis: &'static str,
        /// Its length.
        found: usize,
        /// The length it must have.
        expected: usize,
    },
    /// An input holds no pixels or no tokens.
    #[error("the {input} is empty")]
    Empty {
        /// The input.
        input: &'static str,
    },
    /// The model was conditioned on sizes and pooled text, and none were given.
    #[error("the model needs pooled text and picture sizes (`addition_embed_type` is text_time)")]
    MissingAddedConditions,
    /// Pooled text and sizes were given to a model that has no use for them.
    #[error("the model takes no pooled text and picture sizes (`addition_embed_type` is null)")]
    UnusedAddedConditions,
    /// A guidance scale was given to a model that was not distilled for one.
    #[error("the model takes no guidance scale (`time_cond_proj_dim` is null)")]
    UnusedGuidanceScale,
}

impl From<UNetError> for PipelineError {
    fn from(error: UNetError) -> Self {
        match error {
            UNetError::Attention(error) => Self::Attention(error),
            error => Self::family(error),
        }
    }
}

/// That an axis of an input is as long as it must be.
pub(super) fn expect(
    input: &'static str,
    axis: &'static str,
    found: usize,
    expected: usize,
) -> Result<(), UNetError> {
    if found == expected {
        return Ok(());
    }
    Err(UNetError::WrongInput {
        input,
        axis,
        found,
        expected,
    })
}
