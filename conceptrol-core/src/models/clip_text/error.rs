/// Why token ids could not be encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClipTextError {
    /// No prompt, or a prompt without tokens.
    #[error("no token ids to encode")]
    Empty,
    /// The prompts of a batch have different lengths.
    #[error("prompt {row} has {actual} token ids, the first has {expected}")]
    Ragged {
        /// Index of the prompt in the batch.
        row: usize,
        /// Token ids of the first prompt.
        expected: usize,
        /// Token ids of this prompt.
        actual: usize,
    },
    /// More token ids than the model has positions.
    #[error("{tokens} token ids, the text encoder has {positions} positions")]
    TooLong {
        /// Token ids given.
        tokens: usize,
        /// Positions of the model.
        positions: usize,
    },
    /// A token id beyond the vocabulary: the tokenizer belongs to another model.
    #[error("token id {id} is outside the text encoder's vocabulary of {vocab_size}")]
    UnknownId {
        /// The id.
        id: u32,
        /// Rows of the token embedding.
        vocab_size: usize,
    },
    /// More layers skipped than there are.
    #[error("cannot skip {skip} layers of a text encoder that has {layers}")]
    Skip {
        /// Layers to skip.
        skip: usize,
        /// Layers there are.
        layers: usize,
    },
}
