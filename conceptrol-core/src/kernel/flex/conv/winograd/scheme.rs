//! What a scheme of minimal filtering is: how large tiles are, and three linear maps of lines, applied along both axes of a square.

use crate::kernel::flex::simd::Simd;

/// Inputs of the largest tile, a side.
pub(super) const MOST: usize = 6;
/// Outputs of the largest tile, a side.
pub(super) const MOST_OUT: usize = MOST - 2;

/// A line of a square of vectors; smaller ones use the beginning.
pub(super) type Line<V> = [V; MOST];

/// F(`OUT` x `OUT`, 3 x 3).
pub(super) trait Scheme: Copy + Send + Sync {
    /// Outputs of a tile, a side.
    const OUT: usize;
    /// Inputs of a tile, a side.
    const IN: usize = Self::OUT + 2;
    /// Transformed numbers of a tile: products of one pair of channels.
    const FREQUENCIES: usize = Self::IN * Self::IN;
    /// Panels of tiles of a task: how often a transformed weight is used. Their sums stay in the second cache.
    const PANELS: usize;

    /// Of a tile of the image.
    type Input: Transform;
    /// Of a kernel.
    type Weight: Transform;
    /// Of sums, to pixels.
    type Output: Transform;

    /// How many products, of `channels` in all, are added up by themselves before they join the sum, at most: up to
    /// [`CHANNELS`](super::weights::CHANNELS). Short sums have small rounding errors.
    fn run(channels: usize) -> usize;
}

/// A linear map.
pub(super) trait Transform {
    /// Length of a line before and after.
    const FROM: usize;
    const TO: usize;

    fn line<S: Simd>(s: S, line: Line<S::V>) -> Line<S::V>;

    /// Maps both axes of a square, in its place.
    #[inline(always)]
    fn square<S: Simd>(s: S, square: &mut [Line<S::V>; MOST]) {
        for line in &mut square[..Self::FROM] {
            *line = Self::line(s, *line);
        }
        for column in 0..Self::TO {
            let mut line = [s.splat(0.0); MOST];
            for row in 0..Self::FROM {
                line[row] = square[row][column];
            }
            let line = Self::line(s, line);
            for row in 0..Self::TO {
                square[row][column] = line[row];
            }
        }
    }
}
