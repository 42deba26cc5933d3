//! Byte-pair encoding of one word.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use super::vocabulary::Vocabulary;

/// One symbol of a word: a vocabulary entry and the bytes of the word it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) id: Option<u32>,
    pub(super) bytes: Range<usize>,
}

/// Splits a word into bytes, the last one marked as an end, and merges neighbours, the earliest learned pair first.
///
/// All occurrences of a pair are merged, from the left, before any pair that this creates is looked at.
pub(super) fn encode(word: &str, vocabulary: &Vocabulary) -> Vec<Piece> {
    let mut chain = Chain::new(word, vocabulary);
    let mut queue: BinaryHeap<_> = (0..word.len())
        .filter_map(|at| chain.candidate(at))
        .collect();
    while let Some(&Reverse((rank, _))) = queue.peek() {
        let mut created = Vec::new();
        while let Some(&Reverse((_, at))) = queue.peek().filter(|next| next.0.0 == rank) {
            queue.pop();
            // What was queued may be merged away by now.
            if chain.candidate(at) == Some(Reverse((rank, at))) {
                chain.merge(at);
                created.extend([chain.before[at], Some(at)].into_iter().flatten());
            }
        }
        queue.extend(created.into_iter().filter_map(|at| chain.candidate(at)));
    }
    chain.pieces.into_iter().flatten().collect()
}

/// The symbols of a word, each at the place of its first byte; the other places are empty.
struct Chain<'a> {
    pieces: Vec<Option<Piece>>,
    /// For each symbol the place of the one before it.
    before: Vec<Option<usize>>,
    vocabulary: &'a Vocabulary,
}

impl<'a> Chain<'a> {
    fn new(word: &str, vocabulary: &'a Vocabulary) -> Self {
        let last = word.len().saturating_sub(1);
        let piece = |(i, byte)| {
            let mut symbol = byte_symbol(byte).to_string();
            if i == last {
                symbol.push_str("</w>");
            }
            Some(Piece {
                id: vocabulary.ids.get(&symbol).copied(),
                bytes: i..i + 1,
            })
        };
        Self {
            pieces: word.bytes().enumerate().map(piece).collect(),
            before: (0..word.len()).map(|i| i.checked_sub(1)).collect(),
            vocabulary,
        }
    }

    /// The symbol at a place and the one after it, if the two merge: the merge's rank and result.
    fn pair(&self, at: usize) -> Option<(u32, u32)> {
        let left = self.pieces[at].as_ref()?;
        let right = self.pieces.get(left.bytes.end)?.as_ref()?;
        self.vocabulary.merges.get(&(left.id?, right.id?)).copied()
    }

    /// What the queue holds for a place: the lowest rank comes first, then the leftmost place.
    fn candidate(&self, at: usize) -> Option<Reverse<(u32, usize)>> {
        self.pair(at).map(|(rank, _)| Reverse((rank, at)))
    }

    fn merge(&mut self, at: usize) {
        let (Some((_, merged)), Some(left)) = (self.pair(at), self.pieces[at].take()) else {
            return;
        };
        let right = self.pieces[left.bytes.end].take();
        let end = right.map_or(left.bytes.end, |right| right.bytes.end);
        if let Some(before) = self.before.get_mut(end) {
            *before = Some(at);
        }
        self.pieces[at] = Some(Piece {
            id: Some(merged),
            bytes: at..end,
        });
    }
}

/// The character a vocabulary writes for a byte: itself if it is printable Latin-1, else the next one from U+0100 on.
pub(super) fn byte_symbol(byte: u8) -> char {
    let printable = |b: u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if printable(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|&b| !printable(b)).count() as u32;
    char::from_u32(0x100 + before).expect("0x100..0x200 are characters")
}
