//! What can go wrong between a model, a plan and a session.

use thiserror::Error;

use crate::seam::Grid;

/// An attention call could not be computed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AttentionError {
    /// A processor attached a gate and no adapter below it applied it.
    #[error("{site}: the mask of concept {concept} was not applied; is an adapter layer missing?")]
    UnappliedGate {
        /// Name of the site.
        site: String,
        /// Index of the concept in the session.
        concept: usize,
    },
    /// A mask was asked for, for a concept that has no reference picture.
    #[error("{site}: concept `{concept}` has no reference picture")]
    NoReference {
        /// Name of the site.
        site: String,
        /// Name of the concept.
        concept: String,
    },
    /// The call's rows do not match the session's batch.
    #[error("{site}: the call has {rows} rows, the session {expected}")]
    WrongBatch {
        /// Name of the site.
        site: String,
        /// Rows of the query.
        rows: usize,
        /// Rows the session was made for.
        expected: usize,
    },
    /// The model called a site that the plan does not know.
    #[error("site number {site} is beyond the {sites} sites of the plan")]
    UnknownSite {
        /// Index that was called.
        site: usize,
        /// Number of sites in the plan.
        sites: usize,
    },
    /// The adapter's reference tokens do not fit.
    #[error("{site}: reference tokens are {found} wide, the adapter takes {expected}")]
    WrongReference {
        /// Name of the site.
        site: String,
        /// Width of the tokens.
        found: usize,
        /// Width the adapter takes.
        expected: usize,
    },
    /// A condition range has no concept behind it, or the other way round.
    #[error("{site}: {conditions} condition ranges for {concepts} concepts")]
    ConditionCount {
        /// Name of the site.
        site: String,
        /// Condition ranges in the sequence.
        conditions: usize,
        /// Concepts of the session.
        concepts: usize,
    },
    /// The session's switch was turned.
    #[error("{site}: cancelled")]
    Cancelled {
        /// Name of the site that was next.
        site: String,
    },
    /// A mask source failed.
    #[error("{site}: {source}")]
    Mask {
        /// Name of the site.
        site: String,
        /// What went wrong.
        source: MaskError,
    },
    /// An error of a processor written elsewhere.
    #[error("{site}: {source}")]
    Processor {
        /// Name of the site.
        site: String,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A mask source could not give a mask.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MaskError {
    /// The mask lies on another grid than the call.
    #[error("the mask of concept `{concept}` is on a {found} grid, the call on {expected}")]
    WrongGrid {
        /// Name of the concept.
        concept: String,
        /// Grid of the mask.
        found: Grid,
        /// Grid of the call.
        expected: Grid,
    },
    /// A fixed mask was asked for, and the concept has none.
    #[error("concept `{concept}` has no mask of its own")]
    NoMask {
        /// Name of the concept.
        concept: String,
    },
    /// The concept stands for no words of the prompt.
    #[error("concept `{concept}` has no words to read a mask from")]
    NoWords {
        /// Name of the concept.
        concept: String,
    },
    /// The call has no text tokens to read a map from.
    #[error("a textual mask needs text tokens, and the call has none")]
    NoText,
    /// The call has no latent tokens to mask.
    #[error("a mask needs latent tokens, and the call has none")]
    NoLatents,
    /// The concept's tokens lie beyond the call's text.
    #[error("concept `{concept}` ends at token {end}, the text has {text_len}")]
    BeyondText {
        /// Name of the concept.
        concept: String,
        /// First token after the concept.
        end: usize,
        /// Text tokens of the call.
        text_len: usize,
    },
    /// The number of pixels is not that of the grid.
    #[error("a mask on a {grid} grid has {expected} cells, {found} were given")]
    CellCount {
        /// The grid.
        grid: Grid,
        /// Cells given.
        found: usize,
        /// Cells of the grid.
        expected: usize,
    },
    /// An error of a source written elsewhere.
    #[error(transparent)]
    Source(Box<dyn std::error::Error + Send + Sync>),
}

/// A plan could not be built.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InstallError {
    /// A selector names no site of the model.
    #[error("no site matches `{name}`{}", did_you_mean(.suggestion.as_deref()))]
    UnknownSite {
        /// What was asked for.
        name: String,
        /// The closest existing name.
        suggestion: Option<String>,
    },
    /// A layer was added for sites of a kind it cannot serve.
    #[error("{site} is a {kind} site, {layer} serves {serves} sites only")]
    WrongKind {
        /// Name of the site.
        site: String,
        /// Its kind.
        kind: &'static str,
        /// Name of the layer.
        layer: &'static str,
        /// The kinds it serves.
        serves: &'static str,
    },
    /// The adapter has no weights for a selected site.
    #[error("the adapter has no weights for {site}")]
    NoWeights {
        /// Name of the site.
        site: String,
    },
    /// A number is not finite or out of its range.
    #[error("{name} is {value}, it must be {expected}")]
    OutOfRange {
        /// What the number is.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What it must be.
        expected: &'static str,
    },
    /// A concept cannot be used with the session.
    #[error("concept `{concept}`: {reason}")]
    BadConcept {
        /// Name of the concept.
        concept: String,
        /// Why not.
        reason: String,
    },
    /// The session would have no rows.
    #[error("a session needs at least one image")]
    EmptyBatch,
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}
