//! Byte-pair encoding of one word.

use std::ops::Range;

use super::vocabulary::Vocabulary;

/// One symbol of a word: a vocabulary entry and the bytes of the word it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) id: Option<u32>,
    pub(super) bytes: Range<usize>,
}

/// Splits a word into bytes, the last one marked as an end, and merges neighbours, the earliest learned pair first.
pub(super) fn encode(word: &str, vocabulary: &Vocabulary) -> Vec<Piece> {
    let last = word.len().saturating_sub(1);
    let mut pieces: Vec<Piece> = word
        .bytes()
        .enumerate()
        .map(|(i, byte)| {
            let mut symbol = byte_symbol(byte).to_string();
            if i == last {
                symbol.push_str("</w>");
            }
            Piece {
                id: vocabulary.ids.get(&symbol).copied(),
                bytes: i..i + 1,
            }
        })
        .collect();
    let merge = |a: &Piece, b: &Piece| vocabulary.merges.get(&(a.id?, b.id?)).copied();
    while let Some((rank, merged)) = pieces.windows(2).filter_map(|p| merge(&p[0], &p[1])).min() {
        let mut out: Vec<Piece> = Vec::with_capacity(pieces.len());
        let mut rest = pieces.into_iter().peekable();
        while let Some(mut piece) = rest.next() {
            let partner = rest.next_if(|next| merge(&piece, next).is_some_and(|(r, _)| r == rank));
            if let Some(partner) = partner {
                piece.id = Some(merged);
                piece.bytes.end = partner.bytes.end;
            }
            out.push(piece);
        }
        pieces = out;
    }
    pieces
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
