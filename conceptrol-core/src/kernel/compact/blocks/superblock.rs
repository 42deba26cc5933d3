//! Blocks of 256 in runs of 16 or 32, whose scales (and minima) are small integers times one half for all.

use super::plain::{half, levels};

/// 16 scales and minima of 4 bits, 2 bits an element, scale and minimum of all.
#[inline(always)]
pub(super) fn q2_k(block: &[u8; 84], into: &mut [f32; 256]) {
    let (scales, bits) = (&block[..16], &block[16..80]);
    let (scale, least) = (half(block, 80), half(block, 82));
    for (run, into) in into.chunks_exact_mut(16).enumerate() {
        let step = scale * f32::from(scales[run] & 15);
        let least = least * f32::from(scales[run] >> 4);
        let (bytes, shift) = two_bits(bits, run);
        for (into, byte) in into.iter_mut().zip(bytes) {
            *into = step * f32::from(byte >> shift & 3) - least;
        }
    }
}

/// The third bits, 2 bits an element, 16 scales of 6 bits, the scale of all.
#[inline(always)]
pub(super) fn q3_k(block: &[u8; 110], into: &mut [f32; 256]) {
    let (high, bits, scales) = (&block[..32], &block[32..96], &block[96..108]);
    let scale = half(block, 108);
    for (run, into) in into.chunks_exact_mut(16).enumerate() {
        let low = scales[run % 8] >> (run / 8 * 4) & 15;
        let top = scales[8 + run % 4] >> (run / 4 * 2) & 3;
        let step = scale * (f32::from(low | top << 4) - 32.0);
        let (bytes, shift) = two_bits(bits, run);
        let high = &high[run % 2 * 16..];
        for ((into, byte), high) in into.iter_mut().zip(bytes).zip(high) {
            let third = high >> (run / 2) & 1;
            *into = step * (f32::from((byte >> shift & 3) | third << 2) - 4.0);
        }
    }
}

/// The bytes of a run of 16 that are stored two bits an element, and where in each byte.
#[inline(always)]
fn two_bits(bits: &[u8], run: usize) -> (&[u8], usize) {
    let first = run / 8 * 32 + run % 2 * 16;
    (&bits[first..first + 16], run % 8 / 2 * 2)
}

/// Scale and minimum of all, 8 scales and minima of 6 bits, 4 bits an element.
#[inline(always)]
pub(super) fn q4_k(block: &[u8; 144], into: &mut [f32; 256]) {
    four_bits(block, &block[16..144], into, |_, _| 0);
}

/// As [`q4_k`], with the fifth bits before the others.
#[inline(always)]
pub(super) fn q5_k(block: &[u8; 176], into: &mut [f32; 256]) {
    let high = &block[16..48];
    four_bits(block, &block[48..176], into, |run, index| {
        (high[index] >> run & 1) << 4
    });
}

/// Runs of 32 of nibbles, with the bits above them from `high`.
#[inline(always)]
fn four_bits(block: &[u8], bits: &[u8], into: &mut [f32], high: impl Fn(usize, usize) -> u8) {
    let (scale, least) = (half(block, 0), half(block, 2));
    for (run, into) in into.chunks_exact_mut(32).enumerate() {
        let (step, minimum) = scale_and_minimum(&block[4..16], run);
        let (step, least) = (scale * f32::from(step), least * f32::from(minimum));
        let (bytes, shift) = (&bits[run / 2 * 32..], run % 2 * 4);
        for (index, (into, byte)) in into.iter_mut().zip(bytes).enumerate() {
            let q = (byte >> shift & 15) | high(run, index);
            *into = step * f32::from(q) - least;
        }
    }
}

/// The 6 bits of a run's scale and minimum. Those of the last four runs are in two pieces.
#[inline(always)]
fn scale_and_minimum(packed: &[u8], run: usize) -> (u8, u8) {
    if run < 4 {
        return (packed[run] & 63, packed[run + 4] & 63);
    }
    let scale = (packed[run + 4] & 15) | packed[run - 4] >> 6 << 4;
    let minimum = packed[run + 4] >> 4 | packed[run] >> 6 << 4;
    (scale, minimum)
}

/// 4 low bits, 2 high bits, 16 scales of 8 bits, the scale of all.
#[inline(always)]
pub(super) fn q6_k(block: &[u8; 210], into: &mut [f32; 256]) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let scale = half(block, 208);
    for (run, into) in into.chunks_exact_mut(16).enumerate() {
        let step = scale * f32::from(scales[run].cast_signed());
        // eight runs a half: four quarters of 32 elements
        let (side, quarter, at) = (run / 8, run % 8 / 2, run % 2 * 16);
        let low = &low[side * 64 + quarter % 2 * 32 + at..];
        let high = &high[side * 32 + at..];
        for ((into, low), high) in into.iter_mut().zip(low).zip(high) {
            let q = (low >> (quarter / 2 * 4) & 15) | (high >> (quarter * 2) & 3) << 4;
            *into = step * (f32::from(q) - 32.0);
        }
    }
}

/// The scale of all, the upper 2 and the lower 4 bits of 8 scales, 4 bits an element.
#[inline(always)]
pub(super) fn iq4_xs(block: &[u8; 136], into: &mut [f32; 256]) {
    let scale = half(block, 0);
    let high = u16::from_le_bytes([block[2], block[3]]);
    for (run, into) in into.chunks_exact_mut(32).enumerate() {
        let low = block[4 + run / 2] >> (run % 2 * 4) & 15;
        let high = (high >> (run * 2) & 3) as u8;
        let step = scale * (f32::from(low | high << 4) - 32.0);
        levels(&block[8 + run * 16..][..16], step, into);
    }
}
