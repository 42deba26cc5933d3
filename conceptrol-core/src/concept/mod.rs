//! Concepts: a phrase of the prompt and the picture it stands for.

mod authors;
mod closed_words;
mod definition;
mod error;
mod find;
mod noun_phrases;
mod span;
mod token;

pub use definition::{Concept, MaskRole, ReferenceTokens};
pub use error::SpanError;
pub use find::Occurrence;
pub use noun_phrases::{NounPhrase, PhraseRole, noun_phrases};
pub use span::{TokenSpan, check_disjoint};
pub use token::{PromptTokens, Token, TokenStyle};
