//! Tokenizers: CLIP's byte pairs and T5's pieces, from the files of a diffusers folder.

mod bounded;
mod bpe;
mod charsmap;
mod clip;
mod encoded;
mod error;
mod files;
mod model;
mod normalize;
mod parts;
mod published;
mod special;
mod t5;
mod vocabulary;

pub use clip::ClipTokenizer;
pub use encoded::{EncodedPrompt, Truncation};
pub use error::TokenizerError;
pub use published::ClipPadding;
pub use t5::T5Tokenizer;
