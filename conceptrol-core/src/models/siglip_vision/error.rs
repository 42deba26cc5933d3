use crate::models::clip_vision::ClipVisionError;

/// Why pictures could not be encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SiglipVisionError {
    /// The pixel values were prepared for another encoder.
    #[error(transparent)]
    Pixels(#[from] ClipVisionError),
    /// A pooled state was asked of a tower without head.
    #[error("the image encoder has no pooling head")]
    NoHead,
}
