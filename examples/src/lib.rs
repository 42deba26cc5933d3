//! What the examples share: backends, output, progress, labelled sheets, masks, the parameters in pictures, memory.

pub mod folder;
pub mod heat;
#[cfg(feature = "hub")]
pub mod hub;
pub mod map;
pub mod mask;
pub mod memory;
pub mod model;
pub mod output;
pub mod parameters;
pub mod phrase;
pub mod progress;
pub mod sheet;
pub mod values;

pub use conceptrol_benches::{device, machine};

/// The code of the workspace's README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// The code of a page of the book compiles.
macro_rules! pages {
    ($($name:ident: $page:literal;)*) => {$(
        #[cfg(doctest)]
        #[doc = include_str!($page)]
        struct $name;
    )*};
}

pages! {
    Flux: "../../docs/flux.md";
    Inpainting: "../../docs/inpainting.md";
    Pictures: "../../docs/pictures.md";
    Prompts: "../../docs/prompts.md";
    QuickStart: "../../docs/quick-start.md";
    TwoSubjects: "../../docs/two-subjects.md";
    WritingAProcessor: "../../docs/writing-a-processor.md";
}
