//! Textual inversion (arXiv 2208.01618): words that a text encoder has learnt, one or several vectors each.

mod error;
mod file;

pub use error::TextualInversionError;
pub use file::{Encoder, LearntWord, TextualInversion};
