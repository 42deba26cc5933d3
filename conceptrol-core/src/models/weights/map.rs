//! Key tables: how the names and layouts of one checkpoint family become those of another.

use std::{borrow::Cow, path::Path};

use super::{
    entry::{Entries, Entry},
    error::WeightError,
    view::{cut, fuse, join, kernel, matrix, transpose},
};

/// One line of a key table.
///
/// `from` is compared with the leading dotted segments of a stored name; `{}` stands for any one segment and is
/// carried over to the `{}` of the target in order, and so are the segments after the match (`weight`, `bias`).
///
/// ```
/// use conceptrol_core::models::weights::KeyRule;
///
/// const TABLE: &[KeyRule<'static>] = &[
///     KeyRule::rename("double_blocks.{}.img_mod.lin", "transformer_blocks.{}.norm1.linear"),
///     KeyRule::rows(
///         "double_blocks.{}.img_attn.qkv",
///         &[
///             ("transformer_blocks.{}.attn.to_q", 1),
///             ("transformer_blocks.{}.attn.to_k", 1),
///             ("transformer_blocks.{}.attn.to_v", 1),
///         ],
///     ),
///     KeyRule::swap_halves("final_layer.adaLN_modulation.1", "norm_out.linear"),
/// ];
/// # assert_eq!(TABLE.len(), 3);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRule<'a> {
    pub(in crate::models) from: Cow<'a, str>,
    pub(in crate::models) target: Target<'a>,
}

/// What becomes of a stored tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::models) enum Target<'a> {
    Whole(Cow<'a, str>),
    Rows(&'a [(&'a str, usize)]),
    SwappedHalves(&'a str),
    Matrix(&'a str),
    Transposed(&'a str),
    Nothing,
}

impl<'a> KeyRule<'a> {
    /// The tensor as it is, under another name.
    pub const fn rename(from: &'a str, to: &'a str) -> Self {
        let target = Target::Whole(Cow::Borrowed(to));
        Self::new(from, target)
    }

    /// As [`rename`](Self::rename), for names that are put together.
    pub fn renamed(from: impl Into<String>, to: impl Into<String>) -> Self {
        Self {
            from: Cow::Owned(from.into()),
            target: Target::Whole(Cow::Owned(to.into())),
        }
    }

    const fn new(from: &'a str, target: Target<'a>) -> Self {
        Self {
            from: Cow::Borrowed(from),
            target,
        }
    }

    /// A fused tensor: its first axis is cut, in order, into pieces of the given shares.
    pub const fn rows(from: &'a str, to: &'a [(&'a str, usize)]) -> Self {
        let target = Target::Rows(to);
        Self::new(from, target)
    }

    /// The two halves of the first axis change places.
    pub const fn swap_halves(from: &'a str, to: &'a str) -> Self {
        let target = Target::SwappedHalves(to);
        Self::new(from, target)
    }

    /// The kernel of a 1x1 convolution, `[out, in, 1, 1]`, becomes the matrix it is; a bias stays.
    pub const fn matrix(from: &'a str, to: &'a str) -> Self {
        let target = Target::Matrix(to);
        Self::new(from, target)
    }

    /// A matrix changes its axes.
    pub const fn transposed(from: &'a str, to: &'a str) -> Self {
        let target = Target::Transposed(to);
        Self::new(from, target)
    }

    /// The tensor is not wanted.
    pub const fn drop(from: &'a str) -> Self {
        let target = Target::Nothing;
        Self::new(from, target)
    }

    /// Every name the rule gives.
    fn targets(&self) -> impl Iterator<Item = &str> {
        let (one, many): (Option<&str>, &[_]) = match &self.target {
            Target::Whole(to) => (Some(to), &[]),
            Target::SwappedHalves(to) | Target::Matrix(to) | Target::Transposed(to) => {
                (Some(to), &[])
            }
            Target::Rows(to) => (None, to),
            Target::Nothing => (None, &[]),
        };
        one.into_iter().chain(many.iter().map(|(to, _)| *to))
    }
}

/// What `{}` stood for in `pattern` and what follows the match, if `name` matches.
pub(in crate::models) fn matches<'n>(
    pattern: &str,
    name: &'n str,
) -> Option<(Vec<&'n str>, &'n str)> {
    let mut holes = Vec::new();
    let mut rest = Some(name);
    for pattern in pattern.split('.') {
        let (segment, after) = match rest?.split_once('.') {
            Some((segment, after)) => (segment, Some(after)),
            None => (rest?, None),
        };
        if pattern == "{}" {
            holes.push(segment);
        } else if pattern != segment {
            return None;
        }
        rest = after;
    }
    Some((holes, rest.unwrap_or_default()))
}

/// Applies the first rule that matches each name; names without a rule stay.
pub(super) fn apply(
    path: &Path,
    entries: &Entries,
    rules: &[KeyRule<'_>],
) -> Result<Entries, WeightError> {
    let mut mapped = Entries::new();
    for (name, entry) in entries {
        for (to, view) in map_one(path, name, entry, rules)? {
            if mapped.insert(to.clone(), view).is_some() {
                let reason = format!("another tensor is mapped to {to} as well");
                return Err(refuse(path, name, &entry.shape, reason));
            }
        }
    }
    Ok(mapped)
}

fn map_one(
    path: &Path,
    name: &str,
    entry: &Entry,
    rules: &[KeyRule<'_>],
) -> Result<Vec<(String, Entry)>, WeightError> {
    let found = rules
        .iter()
        .find_map(|rule| matches(&rule.from, name).map(|matched| (&rule.target, matched)));
    let Some((target, (holes, rest))) = found else {
        return Ok(vec![(name.to_owned(), entry.clone())]);
    };
    let cut = |shares: &[usize]| {
        cut(entry, shares).map_err(|reason| refuse(path, name, &entry.shape, reason))
    };
    Ok(match target {
        Target::Nothing => Vec::new(),
        Target::Whole(to) => vec![(fill(to, &holes, rest), entry.clone())],
        Target::Rows(to) => {
            let shares: Vec<usize> = to.iter().map(|(_, share)| *share).collect();
            let names = to.iter().map(|(to, _)| fill(to, &holes, rest));
            names.zip(cut(&shares)?).collect()
        }
        Target::SwappedHalves(to) => {
            let mut halves = cut(&[1, 1])?;
            halves.reverse();
            vec![(fill(to, &holes, rest), join(entry, halves))]
        }
        Target::Matrix(to) => vec![(fill(to, &holes, rest), matrix(entry))],
        Target::Transposed(to) => {
            let turned = transpose(entry);
            let turned = turned.map_err(|reason| refuse(path, name, &entry.shape, reason))?;
            vec![(fill(to, &holes, rest), turned)]
        }
    })
}

/// Applies the rules the other way round: the names and layouts that they came from.
pub(super) fn unapply(
    path: &Path,
    entries: &Entries,
    rules: &[KeyRule<'_>],
) -> Result<Entries, WeightError> {
    let mut mapped = Entries::new();
    for (name, entry) in entries {
        let Some((to, view)) = unmap_one(path, name, entry, entries, rules)? else {
            continue;
        };
        if mapped.insert(to.clone(), view).is_some() {
            let reason = format!("another tensor is mapped to {to} as well");
            return Err(refuse(path, name, &entry.shape, reason));
        }
    }
    Ok(mapped)
}

/// Nothing for the later pieces of a fused tensor: it goes with the first.
fn unmap_one(
    path: &Path,
    name: &str,
    entry: &Entry,
    entries: &Entries,
    rules: &[KeyRule<'_>],
) -> Result<Option<(String, Entry)>, WeightError> {
    let found = rules.iter().find_map(|rule| {
        let mut targets = rule.targets().enumerate();
        targets.find_map(|(index, to)| Some((rule, index, matches(to, name)?)))
    });
    let Some((rule, index, (holes, rest))) = found else {
        return Ok(Some((name.to_owned(), entry.clone())));
    };
    let refuse = |reason| refuse(path, name, &entry.shape, reason);
    let view = match &rule.target {
        Target::Rows(pieces) => {
            let piece = |(to, _): &(&str, usize)| {
                let name = fill(to, &holes, rest);
                let piece = entries.get(&name).cloned();
                piece.ok_or_else(|| refuse(format!("{name} is not there to be put beside it")))
            };
            let pieces: Vec<Entry> = pieces.iter().map(piece).collect::<Result<_, _>>()?;
            if index > 0 {
                return Ok(None);
            }
            fuse(pieces).map_err(refuse)?
        }
        Target::SwappedHalves(_) => {
            let mut halves = cut(entry, &[1, 1]).map_err(refuse)?;
            halves.reverse();
            join(entry, halves)
        }
        Target::Matrix(_) => kernel(entry),
        Target::Transposed(_) => transpose(entry).map_err(refuse)?,
        Target::Whole(_) | Target::Nothing => entry.clone(),
    };
    Ok(Some((fill(&rule.from, &holes, rest), view)))
}

/// Puts `holes` into the `{}` of `pattern` and appends `rest`.
pub(in crate::models) fn fill(pattern: &str, holes: &[&str], rest: &str) -> String {
    let mut holes = holes.iter();
    let mut segments: Vec<&str> = pattern
        .split('.')
        .map(|segment| match segment {
            "{}" => holes.next().copied().unwrap_or("{}"),
            segment => segment,
        })
        .collect();
    if !rest.is_empty() {
        segments.push(rest);
    }
    segments.join(".")
}

fn refuse(path: &Path, name: &str, shape: &[usize], reason: String) -> WeightError {
    WeightError::Map {
        path: path.to_owned(),
        name: name.to_owned(),
        shape: shape.to_vec(),
        reason,
    }
}
