//! SentencePiece's table of character replacements, checked before a library looks things up in it unchecked.
//!
//! The table is a trie and the texts its leaves refer to: `[u32 bytes of the trie, trie, texts]`. The trie is a double
//! array of `u32` units (the `darts-clone` layout). A unit has the byte that leads to it in its low eight bits and a
//! distance; the child for byte `b` of the unit at `i` is the unit at `i ^ distance ^ b`, if that has the byte `b`. A unit
//! with a flag has a leaf at `i ^ distance`: the place of a text, which ends with a zero byte.

use std::collections::VecDeque;

/// Bytes such a table may have; published ones have 240 thousand.
const MOST_BYTES: usize = 2 << 20;
/// Bytes the longest replacement may have; that of U+FDFA has 33.
const LONGEST_TEXT: usize = 64;
/// Bytes of a prompt that are looked up at once at most: a grapheme of five.
const LONGEST_KEY: usize = 5;

const LABEL: u32 = 1 << 31 | 0xff;
const HAS_LEAF: u32 = 1 << 8;
const IS_FAR: u32 = 1 << 9;
const VALUE: u32 = !(1 << 31);

/// Checks that no lookup leaves the table, and returns how many times longer a text can become.
pub(super) fn check(table: &[u8]) -> Result<f64, String> {
    if table.len() > MOST_BYTES {
        return Err(format!(
            "{} bytes are more than the {MOST_BYTES} such a table may have",
            table.len()
        ));
    }
    let (size, rest) = table
        .split_first_chunk()
        .ok_or("it is shorter than its own length field")?;
    let size = u32::from_le_bytes(*size) as usize;
    let (trie, texts) = rest.split_at_checked(size).ok_or_else(|| {
        format!(
            "its trie of {size} bytes is longer than the {} there are",
            rest.len()
        )
    })?;
    let units = trie.chunks_exact(4);
    if !units.remainder().is_empty() || trie.is_empty() {
        return Err(format!(
            "its trie of {size} bytes is no list of 32-bit units"
        ));
    }
    let units: Vec<u32> = units
        .map(|unit| u32::from_le_bytes([unit[0], unit[1], unit[2], unit[3]]))
        .collect();
    let texts = std::str::from_utf8(texts).map_err(|_| "its texts are not UTF-8")?;
    walk(&units, texts)
}

/// Visits every unit a lookup can reach, nearest first, and returns the largest ratio of a text to its key.
fn walk(units: &[u32], texts: &str) -> Result<f64, String> {
    let unit = |at: usize| {
        let unit = units.get(at).copied();
        unit.ok_or_else(|| format!("its trie refers to unit {at} of {}", units.len()))
    };
    let mut growth: f64 = 1.0;
    let mut seen = vec![false; units.len()];
    // where the children of a unit are counted from, and the length of the key that leads there
    let mut nodes = VecDeque::from([(distance(unit(0)?), 0)]);
    while let Some((base, depth)) = nodes.pop_front() {
        for byte in 1..=0xff_usize {
            let at = base ^ byte;
            let child = unit(at)?;
            if child & LABEL != byte as u32 || seen[at] {
                continue;
            }
            seen[at] = true;
            let (base, depth) = (at ^ distance(child), depth + 1);
            if child & HAS_LEAF != 0 {
                let text = text(texts, (unit(base)? & VALUE) as usize)?;
                growth = growth.max(text.len() as f64 / depth as f64);
            }
            if depth < LONGEST_KEY {
                nodes.push_back((base, depth));
            }
        }
    }
    Ok(growth)
}

fn distance(unit: u32) -> usize {
    let distance = (unit >> 10) as usize;
    match unit & IS_FAR {
        0 => distance,
        _ => distance << 8,
    }
}

/// The text that begins at byte `start`.
fn text(texts: &str, start: usize) -> Result<&str, String> {
    let rest = texts.get(start..).ok_or_else(|| {
        format!(
            "it refers to byte {start} of {} bytes of texts",
            texts.len()
        )
    })?;
    let reach = &rest.as_bytes()[..rest.len().min(LONGEST_TEXT + 1)];
    match reach.iter().position(|byte| *byte == 0) {
        Some(end) => Ok(&rest[..end]),
        None if rest.len() <= LONGEST_TEXT => Ok(rest),
        None => Err(format!(
            "its text at byte {start} is longer than {LONGEST_TEXT} bytes"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(units: &[u32], texts: &str) -> Vec<u8> {
        let size = 4 * units.len() as u32;
        let units = units.iter().flat_map(|unit| unit.to_le_bytes());
        size.to_le_bytes()
            .into_iter()
            .chain(units)
            .chain(texts.bytes())
            .collect()
    }

    /// `a` becomes the text at `value`: the root's children begin at 256, that of `a` has its leaf at 512.
    fn one(value: u32) -> Vec<u32> {
        let mut units = vec![0; 768];
        units[0] = 256 << 10;
        let at = 256 ^ usize::from(b'a');
        let far = (at as u32 ^ 512) << 10;
        units[at] = far | HAS_LEAF | u32::from(b'a');
        units[512] = value;
        units
    }

    #[test]
    fn a_small_table_is_accepted() {
        assert_eq!(check(&table(&one(2), "x\0yes\0")), Ok(3.0));
        let library =
            tokenizers::normalizers::Precompiled::from(&table(&one(2), "x\0yes\0")).unwrap();
        assert_eq!(library.normalize_string("a b"), "yes b");
    }

    #[test]
    fn what_leaves_the_table_is_refused() {
        let refused = |table: &[u8], expected: &str| {
            let reason = check(table).unwrap_err();
            assert!(reason.contains(expected), "{expected}: {reason}");
        };
        refused(&[1, 2], "shorter than its own length");
        refused(&[0xff; 40], "trie of 4294967295 bytes");
        refused(&table(&[], "x"), "no list");
        refused(&[3, 0, 0, 0, 1, 2, 3], "no list");
        refused(&table(&[0; 255], ""), "unit 255 of 255");
        refused(&table(&one(9), "x\0yes\0"), "byte 9 of 6 bytes");
        refused(&table(&one(1), "é\0"), "byte 1 of 3 bytes");
        refused(&table(&one(0), &"x".repeat(65)), "longer than 64");
        let mut far = one(0);
        far[256 ^ usize::from(b'a')] |= 0x1f_ffff << 10; // the topmost bit says that it is no child
        refused(&table(&far, "x\0"), "of 768");
        let mut bytes = table(&one(0), "x\0");
        bytes.push(0xff);
        refused(&bytes, "not UTF-8");
        refused(&vec![0; MOST_BYTES + 1], "more than the 2097152");
    }

    #[test]
    fn a_trie_that_refers_to_itself_ends() {
        // every unit has a label and no distance: each is a child of others
        let units: Vec<u32> = (0..256).collect();
        assert_eq!(check(&table(&units, "")), Ok(1.0));
    }
}
