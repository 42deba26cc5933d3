//! Key tables: how the names and layouts of one checkpoint family become those of another.

use std::{path::Path, sync::Arc};

use super::{
    entry::{Entries, Entry, Part, byte_len},
    error::WeightError,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRule<'a> {
    from: &'a str,
    target: Target<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target<'a> {
    Whole(&'a str),
    Rows(&'a [(&'a str, usize)]),
    SwappedHalves(&'a str),
    Nothing,
}

impl<'a> KeyRule<'a> {
    /// The tensor as it is, under another name.
    pub const fn rename(from: &'a str, to: &'a str) -> Self {
        let target = Target::Whole(to);
        Self { from, target }
    }

    /// A fused tensor: its first axis is cut, in order, into pieces of the given shares.
    pub const fn rows(from: &'a str, to: &'a [(&'a str, usize)]) -> Self {
        let target = Target::Rows(to);
        Self { from, target }
    }

    /// The two halves of the first axis change places.
    pub const fn swap_halves(from: &'a str, to: &'a str) -> Self {
        let target = Target::SwappedHalves(to);
        Self { from, target }
    }

    /// The tensor is not wanted.
    pub const fn drop(from: &'a str) -> Self {
        let target = Target::Nothing;
        Self { from, target }
    }

    /// What `{}` stood for and what follows the match, if `name` matches.
    fn matches<'n>(&self, name: &'n str) -> Option<(Vec<&'n str>, &'n str)> {
        let mut holes = Vec::new();
        let mut rest = Some(name);
        for pattern in self.from.split('.') {
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
        .find_map(|rule| rule.matches(name).map(|matched| (rule.target, matched)));
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
    })
}

/// Puts `holes` into the `{}` of `pattern` and appends `rest`.
fn fill(pattern: &str, holes: &[&str], rest: &str) -> String {
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

/// `entry` made of these pieces of it.
fn join(entry: &Entry, pieces: Vec<Entry>) -> Entry {
    let scales: Option<Vec<Entry>> = pieces
        .iter()
        .map(|piece| piece.scale.as_deref().cloned())
        .collect();
    let scale = match (&entry.scale, scales) {
        // one factor for all
        (Some(scale), Some(scales)) if scale.shape.first().is_some_and(|rows| *rows > 1) => {
            Some(Arc::new(join(scale, scales)))
        }
        (scale, _) => scale.clone(),
    };
    Entry {
        parts: pieces.into_iter().flat_map(|piece| piece.parts).collect(),
        scale,
        ..entry.clone()
    }
}

/// Cuts the first axis into consecutive pieces proportional to `shares`.
fn cut(entry: &Entry, shares: &[usize]) -> Result<Vec<Entry>, String> {
    let total: usize = shares.iter().sum();
    let rows = entry.shape.first().copied().unwrap_or(0);
    if total == 0 || rows == 0 || rows % total != 0 {
        return Err(format!(
            "{rows} rows do not divide into {total} equal parts"
        ));
    }
    if entry.strides.is_some() {
        return Err("it is stored permuted".to_owned());
    }
    let scales = match &entry.scale {
        Some(scale) if scale.shape.first() == Some(&rows) && rows > 1 => {
            let scales = cut(scale, shares)?;
            scales
                .into_iter()
                .map(|scale| Some(Arc::new(scale)))
                .collect()
        }
        scale => vec![scale.clone(); shares.len()],
    };
    let mut start = 0;
    let pieces = shares.iter().zip(scales).map(|(share, scale)| {
        let mut shape = entry.shape.clone();
        shape[0] = rows / total * share;
        let len = byte_len(&shape, entry.dtype).ok_or_else(|| {
            format!(
                "pieces of {shape:?} are not whole blocks of {}",
                entry.dtype
            )
        })?;
        let parts = slice(&entry.parts, start, len);
        start += len;
        Ok(Entry {
            dtype: entry.dtype,
            shape,
            parts,
            strides: None,
            scale,
        })
    });
    pieces.collect()
}

/// `len` bytes from `start` on of the concatenated `parts`.
fn slice(parts: &[Part], mut start: usize, mut len: usize) -> Vec<Part> {
    let mut pieces = Vec::new();
    for part in parts {
        if start >= part.len {
            start -= part.len;
            continue;
        }
        let taken = len.min(part.len - start);
        if taken > 0 {
            pieces.push(Part {
                file: part.file.clone(),
                offset: part.offset + start as u64,
                len: taken,
                checksum: part.checksum.clone(),
            });
        }
        start = 0;
        len -= taken;
    }
    pieces
}

fn refuse(path: &Path, name: &str, shape: &[usize], reason: String) -> WeightError {
    WeightError::Map {
        path: path.to_owned(),
        name: name.to_owned(),
        shape: shape.to_vec(),
        reason,
    }
}
