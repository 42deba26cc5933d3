//! Blocks of 32 with one scale. Element `i` of the first half is the lower nibble of byte `i`, that of the second half the
//! upper one.

use crate::kernel::compact::floats::f16;

/// Elements of a half.
const HALF: usize = 16;

/// The levels that the 4 bits of the `IQ4` formats count through.
const LEVELS: [f32; 16] = [
    -127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0,
    89.0, 113.0,
];

/// The half at byte `at`.
#[inline(always)]
pub(super) fn half(block: &[u8], at: usize) -> f32 {
    f16(u16::from_le_bytes([block[at], block[at + 1]]))
}

/// Writes `value` of both nibbles of each byte, and the index of each element.
#[inline(always)]
fn nibbles(bytes: &[u8], into: &mut [f32], value: impl Fn(u8, usize) -> f32) {
    let (first, second) = into.split_at_mut(HALF);
    for (index, byte) in bytes.iter().enumerate() {
        first[index] = value(byte & 15, index);
        second[index] = value(byte >> 4, index + HALF);
    }
}

/// The fifth bit of element `index`, in its place.
#[inline(always)]
fn fifth_bit(block: &[u8], at: usize, index: usize) -> u8 {
    (block[at + index / 8] >> (index % 8) & 1) << 4
}

#[inline(always)]
pub(super) fn q4_0(block: &[u8; 18], into: &mut [f32; 32]) {
    let scale = half(block, 0);
    nibbles(&block[2..], into, |q, _| (f32::from(q) - 8.0) * scale);
}

#[inline(always)]
pub(super) fn q4_1(block: &[u8; 20], into: &mut [f32; 32]) {
    let (scale, least) = (half(block, 0), half(block, 2));
    nibbles(&block[4..], into, |q, _| f32::from(q) * scale + least);
}

#[inline(always)]
pub(super) fn q5_0(block: &[u8; 22], into: &mut [f32; 32]) {
    let scale = half(block, 0);
    nibbles(&block[6..], into, |q, index| {
        (f32::from(q | fifth_bit(block, 2, index)) - 16.0) * scale
    });
}

#[inline(always)]
pub(super) fn q5_1(block: &[u8; 24], into: &mut [f32; 32]) {
    let (scale, least) = (half(block, 0), half(block, 2));
    nibbles(&block[8..], into, |q, index| {
        f32::from(q | fifth_bit(block, 4, index)) * scale + least
    });
}

#[inline(always)]
pub(super) fn q8_0(block: &[u8; 34], into: &mut [f32; 32]) {
    let scale = half(block, 0);
    for (into, q) in into.iter_mut().zip(&block[2..]) {
        *into = f32::from(q.cast_signed()) * scale;
    }
}

#[inline(always)]
pub(super) fn iq4_nl(block: &[u8; 18], into: &mut [f32; 32]) {
    let scale = half(block, 0);
    levels(&block[2..], scale, into);
}

/// 32 elements that count through the levels.
#[inline(always)]
pub(super) fn levels(bytes: &[u8], scale: f32, into: &mut [f32]) {
    nibbles(bytes, into, |q, _| scale * LEVELS[usize::from(q)]);
}
