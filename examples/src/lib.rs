//! What the examples share: backends, output, progress, labelled sheets, memory.

pub mod folder;
#[cfg(feature = "hub")]
pub mod hub;
pub mod map;
pub mod memory;
pub mod model;
pub mod output;
pub mod progress;
pub mod sheet;
pub mod values;

pub use conceptrol_benches::{device, machine};

/// The code of the workspace's README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// The code of the book compiles.
#[cfg(doctest)]
#[doc = include_str!("../../docs/writing-a-processor.md")]
struct WritingAProcessor;
