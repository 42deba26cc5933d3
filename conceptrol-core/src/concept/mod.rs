//! Concepts: a phrase of the prompt and the picture it stands for.

mod definition;

pub use definition::{Concept, ReferenceTokens};
