//! Other names of a model's modules, and layers of a file that are several modules in one.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::models::weights::{KeyRule, Target, fill, matches};

/// Where the output of a stored layer goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place(pub(super) Vec<Piece>);

/// A module that a stored layer changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) module: String,
    /// The rows of the stored layer that are this module's, in its order; all if `None`.
    pub(super) rows: Option<Vec<Range<usize>>>,
}

impl Place {
    /// A layer that is one module.
    pub(super) fn whole(module: &str) -> Self {
        Self(vec![Piece {
            module: module.to_owned(),
            rows: None,
        }])
    }
}

/// The reverse of a key table: each name it maps, and the modules that it maps to.
pub(super) fn of_rules(
    rules: &[KeyRule<'_>],
    modules: &BTreeMap<String, Vec<usize>>,
) -> Vec<(String, Place)> {
    let mut places = Vec::new();
    for rule in rules {
        let first = match &rule.target {
            Target::Whole(to) => to.as_ref(),
            Target::SwappedHalves(to) | Target::Matrix(to) => to,
            Target::Rows(to) => to[0].0,
            // no adapter is made for a layout that turns its weights
            Target::Transposed(_) | Target::Nothing => continue,
        };
        let mapped = |module: &String| match matches(first, module) {
            Some((holes, "")) => {
                let place = place(rule, &holes, modules)?;
                Some((fill(&rule.from, &holes, ""), place))
            }
            _ => None,
        };
        places.extend(modules.keys().filter_map(mapped));
    }
    places
}

/// The modules of one mapped name; nothing if the model lacks one of them.
fn place(
    rule: &KeyRule<'_>,
    holes: &[&str],
    modules: &BTreeMap<String, Vec<usize>>,
) -> Option<Place> {
    let outputs = |module: &str| modules.get(module)?.first().copied();
    Some(match &rule.target {
        Target::Transposed(_) | Target::Nothing => return None,
        Target::Whole(to) => Place::whole(&fill(to, holes, "")),
        Target::Matrix(to) => Place::whole(&fill(to, holes, "")),
        Target::SwappedHalves(to) => {
            let module = fill(to, holes, "");
            let rows = outputs(&module)?;
            let halves = vec![rows / 2..rows, 0..rows / 2];
            Place(vec![Piece {
                module,
                rows: Some(halves),
            }])
        }
        Target::Rows(to) => {
            let mut start = 0;
            let piece = |(to, _): &(&str, usize)| {
                let module = fill(to, holes, "");
                let rows = start..start + outputs(&module)?;
                start = rows.end;
                Some(Piece {
                    module,
                    rows: Some(vec![rows]),
                })
            };
            Place(to.iter().map(piece).collect::<Option<_>>()?)
        }
    })
}
