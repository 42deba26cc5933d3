//! What can go wrong between a model, a plan and a session.

use thiserror::Error;

use crate::{
    message::shown,
    seam::{AttentionSite, Grid, name::Enumeration},
};

/// An attention call could not be computed.
///
/// A processor says what went wrong; the plan adds where, as [`At`](Self::At).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AttentionError {
    /// Where a call failed; the source says why.
    #[error("{site}{}", inside(layers))]
    At {
        /// Name of the site.
        site: String,
        /// What the call had passed there, from the outermost layer to the one that failed.
        layers: Vec<String>,
        /// What went wrong.
        source: Box<Self>,
    },
    /// A processor attached a gate and no adapter below it applied it.
    #[error("the mask of concept {concept} was not applied; is an adapter layer missing?")]
    UnappliedGate {
        /// Index of the concept in the session.
        concept: usize,
    },
    /// A mask was asked for, for a concept that has no reference picture.
    #[error("concept `{}` has no reference picture", shown(concept))]
    NoReference {
        /// Name of the concept.
        concept: String,
    },
    /// The call's rows do not match the session's batch.
    #[error("the call has {rows} rows, the session {expected}")]
    WrongBatch {
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
    #[error("reference tokens are {found} wide, the adapter takes {expected}")]
    WrongReference {
        /// Width of the tokens.
        found: usize,
        /// Width the adapter takes.
        expected: usize,
    },
    /// A bias does not fit the call it is added to.
    #[error(
        "a bias of {} rows for {} queries and {} keys, the call has {}, {} and {}",
        found[0], found[1], found[2], expected[0], expected[1], expected[2]
    )]
    WrongBias {
        /// Rows, queries and keys of the bias.
        found: [usize; 3],
        /// Rows, queries and keys of the call.
        expected: [usize; 3],
    },
    /// A condition range has no concept behind it, or the other way round.
    #[error("{conditions} condition ranges for {concepts} concepts")]
    ConditionCount {
        /// Condition ranges in the sequence.
        conditions: usize,
        /// Concepts of the session.
        concepts: usize,
    },
    /// The model did not end a block for whose end processors had left something.
    #[error("the block of {site} did not end: what its processors left was not added")]
    UnendedBlock {
        /// Name of the site.
        site: String,
    },
    /// The session's switch was turned.
    #[error("cancelled")]
    Cancelled,
    /// The model could not read the weights of a block.
    #[error("a block cannot be read")]
    Weights(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A mask source failed.
    #[error(transparent)]
    Mask(#[from] MaskError),
    /// An error of a processor written elsewhere.
    #[error(transparent)]
    Processor(Box<dyn std::error::Error + Send + Sync>),
}

impl AttentionError {
    /// The same error, known to be from this site.
    pub(crate) fn at(self, site: &AttentionSite) -> Self {
        match self {
            Self::At { .. } => self,
            error => Self::At {
                site: site.name.clone(),
                layers: Vec::new(),
                source: Box::new(error),
            },
        }
    }

    /// The same error, known to have come through this layer.
    pub(crate) fn within(self, site: &AttentionSite, layer: String) -> Self {
        match self.at(site) {
            Self::At {
                site,
                mut layers,
                source,
            } => {
                layers.insert(0, layer);
                Self::At {
                    site,
                    layers,
                    source,
                }
            }
            error => error,
        }
    }
}

fn inside(layers: &[String]) -> String {
    if layers.is_empty() {
        return String::new();
    }
    format!(", in {}", layers.join(" > "))
}

/// A mask source could not give a mask.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MaskError {
    /// The mask lies on another grid than the call.
    #[error(
        "the mask of concept `{}` is on a {found} grid, the call on {expected}",
        shown(concept)
    )]
    WrongGrid {
        /// Name of the concept.
        concept: String,
        /// Grid of the mask.
        found: Grid,
        /// Grid of the call.
        expected: Grid,
    },
    /// The mask is for another number of pictures than the batch has.
    #[error(
        "the mask of concept `{}` has {rows} rows, the batch {images} pictures",
        shown(concept)
    )]
    WrongRows {
        /// Name of the concept.
        concept: String,
        /// Rows of the mask.
        rows: usize,
        /// Pictures of the batch.
        images: usize,
    },
    /// A fixed mask was asked for, and the concept has none.
    #[error("concept `{}` has no mask of its own", shown(concept))]
    NoMask {
        /// Name of the concept.
        concept: String,
    },
    /// The concept stands for no words of the prompt.
    #[error("concept `{}` has no words to read a mask from", shown(concept))]
    NoWords {
        /// Name of the concept.
        concept: String,
    },
    /// The call has no text tokens to read a map from.
    #[error("a textual mask needs text tokens, and the call has none")]
    NoText,
    /// The concept's tokens lie beyond the call's text.
    #[error(
        "concept `{}` ends at token {end}, the text has {text_len}",
        shown(concept)
    )]
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
    #[error("no site matches `{}`{}", shown(name), did_you_mean(.suggestion.as_deref()))]
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
    /// A selector names sites of the model, but none that can be used for what it is given to.
    #[error("{} {}; {}", shown(selector), unserved(*.kind, needs), those(candidates))]
    Unserved {
        /// The selector, or the name or prefix in it.
        selector: String,
        /// The kind of the site, where it is one.
        kind: Option<&'static str>,
        /// What sites that can be used have: "that sees words".
        needs: &'static str,
        /// All sites that can be used, the most similar names first.
        candidates: Vec<String>,
    },
    /// The adapter has no weights for a selected site.
    #[error("the adapter has no weights for {site}")]
    NoWeights {
        /// Name of the site.
        site: String,
    },
    /// The layer adds something at the end of a block, and the model does not hand it over.
    #[error("the model does not hand over the end of the block of {site}")]
    NoBlockEnd {
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
    #[error("concept `{}`: {reason}", shown(concept))]
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

fn unserved(kind: Option<&str>, needs: &str) -> String {
    kind.map_or_else(
        || format!("selects no site {needs}"),
        |kind| format!("is a {kind} site, not one {needs}"),
    )
}

fn those(candidates: &[String]) -> String {
    if candidates.is_empty() {
        return "there is none".into();
    }
    format!("such are: {}", Enumeration(candidates))
}
