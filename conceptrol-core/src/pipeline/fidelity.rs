//! Whose details are followed where the paper and the authors' code differ.

/// Whose details a generation follows: when masks are read, how words are located, how reference pictures are resized and
/// their latents sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Fidelity {
    /// As the paper describes: one refresh of the masks a step, at the concept block.
    #[default]
    Paper,
    /// As the authors' code does, to its rounding noise. Every difference is listed in `docs/parity.md`.
    Authors,
}
