//! The same bytes in other shapes: pieces, joints, exchanged axes. Nothing is read or moved.

use std::sync::Arc;

use super::entry::{Entry, Part, byte_len};

/// A 1x1 kernel as a matrix.
pub(super) fn matrix(entry: &Entry) -> Entry {
    let mut entry = entry.clone();
    if entry.shape.len() == 4 && entry.shape.ends_with(&[1, 1]) {
        entry.shape.truncate(2);
        entry.strides = entry.strides.map(|strides| strides[..2].to_vec());
    }
    entry
}

/// A matrix as a 1x1 kernel.
pub(super) fn kernel(entry: &Entry) -> Entry {
    let mut entry = entry.clone();
    if entry.shape.len() == 2 {
        entry.shape.extend([1, 1]);
        entry.strides = entry
            .strides
            .map(|strides| [&strides[..], &[1, 1]].concat());
    }
    entry
}

/// The matrix with its axes exchanged.
pub(super) fn transpose(entry: &Entry) -> Result<Entry, String> {
    let [rows, columns] = entry.shape[..] else {
        return Err("it is no matrix".to_owned());
    };
    let factors = entry
        .scale
        .as_ref()
        .map_or(1, |scale| scale.shape.iter().product());
    if entry.dtype.block() > 1 || factors > 1 {
        return Err(format!("it is stored by rows of {}", entry.dtype));
    }
    let strides = entry.strides.clone().unwrap_or_else(|| vec![columns, 1]);
    let turned = vec![strides[1], strides[0]];
    Ok(Entry {
        shape: vec![columns, rows],
        strides: (turned != [rows, 1]).then_some(turned),
        ..entry.clone()
    })
}

/// Pieces one after the other along the first axis.
pub(super) fn fuse(pieces: Vec<Entry>) -> Result<Entry, String> {
    let mut whole = pieces[0].clone();
    for piece in &pieces {
        if piece.dtype != whole.dtype || piece.shape.get(1..) != whole.shape.get(1..) {
            return Err(format!(
                "{:?} {} does not go beside {:?} {}",
                piece.shape, piece.dtype, whole.shape, whole.dtype
            ));
        }
        if piece.strides.is_some() || piece.scale.is_some() || piece.shape.is_empty() {
            return Err("it is stored permuted or scaled".to_owned());
        }
    }
    whole.shape[0] = pieces.iter().map(|piece| piece.shape[0]).sum();
    whole.parts = pieces.into_iter().flat_map(|piece| piece.parts).collect();
    Ok(whole)
}

/// `entry` made of these pieces of it.
pub(super) fn join(entry: &Entry, pieces: Vec<Entry>) -> Entry {
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
pub(super) fn cut(entry: &Entry, shares: &[usize]) -> Result<Vec<Entry>, String> {
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
