use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::{
    elementwise::{Function, Silu},
    scalar::{Scalar, narrow, widen},
    shared::Shared,
    simd::{Job, Simd, vectorised},
};

/// Numbers whose sums are taken at a time, and widened where needed.
const BUFFER: usize = 512;

/// Shape and parameters of a group normalisation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupNorm<'a> {
    pub(crate) groups: usize,
    pub(crate) channels: usize,
    pub(crate) pixels: usize,
    pub(crate) gamma: &'a [f32],
    pub(crate) beta: &'a [f32],
    pub(crate) eps: f64,
    pub(crate) silu: bool,
}

/// Group normalisation of a contiguous `[batch, channels, pixels]`, with SiLU in the pass that writes.
pub(crate) fn group_norm<E: Scalar>(norm: GroupNorm<'_>, from: &[E], to: &mut [MaybeUninit<E>]) {
    let slice = norm.channels / norm.groups * norm.pixels;
    let out = Shared::new(to);
    from.par_chunks_exact(slice.max(1))
        .enumerate()
        .for_each(|(group, from)| {
            // SAFETY: each task has its own group.
            let to = unsafe { out.part(group * slice, slice) };
            let first = group % norm.groups * (norm.channels / norm.groups);
            vectorised(Group {
                norm,
                first,
                from,
                to,
            });
        });
}

/// One group of one image.
struct Group<'a, E> {
    norm: GroupNorm<'a>,
    /// Its first channel.
    first: usize,
    from: &'a [E],
    to: &'a mut [MaybeUninit<E>],
}

impl<E: Scalar> Job for Group<'_, E> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let norm = self.norm;
        let (mean, variance) = moments(s, self.from);
        let scale = 1.0 / (variance + norm.eps).sqrt();
        let channels = self
            .from
            .chunks_exact(norm.pixels)
            .zip(self.to.chunks_exact_mut(norm.pixels));
        for (channel, (from, to)) in channels.enumerate() {
            let gamma = f64::from(norm.gamma[self.first + channel]);
            let beta = f64::from(norm.beta[self.first + channel]);
            let map = Affine::new(mean, gamma * scale, beta);
            map.apply(s, from, to, norm.silu);
        }
    }
}

/// `(x - centre) * factor + shift`.
struct Affine {
    centre: f32,
    factor: f32,
    shift: f32,
}

impl Affine {
    /// `(x - mean) * factor + shift`: what the mean loses in `f32` goes into the shift.
    fn new(mean: f64, factor: f64, shift: f64) -> Self {
        let centre = mean as f32;
        let shift = shift - (mean - f64::from(centre)) * factor;
        Self {
            centre,
            factor: factor as f32,
            shift: shift as f32,
        }
    }

    /// The map, then SiLU if asked for.
    #[inline(always)]
    fn apply<S: Simd, E: Scalar>(&self, s: S, from: &[E], to: &mut [MaybeUninit<E>], silu: bool) {
        let whole = from.len().is_multiple_of(S::LANES);
        if let (true, Some(from), Some(to)) = (whole, E::as_f32(from), E::as_f32_mut(to)) {
            // SAFETY: both are whole numbers of vectors of the same length.
            unsafe { self.vectors(s, from.as_ptr(), to.as_mut_ptr().cast(), from.len(), silu) };
            return;
        }
        let mut buffer = [0.0f32; BUFFER];
        for (from, to) in from.chunks(BUFFER).zip(to.chunks_mut(BUFFER)) {
            widen(from, &mut buffer);
            let buffer_start = buffer.as_mut_ptr();
            // SAFETY: `BUFFER` is a whole number of vectors; each is read before it is written.
            unsafe { self.vectors(s, buffer_start, buffer_start, from.len(), silu) };
            narrow(&buffer[..from.len()], to);
        }
    }

    /// The map of `len` numbers and of what else is in the last vector.
    ///
    /// # Safety
    /// `from` and `to` point to whole vectors; they may be the same.
    #[inline(always)]
    unsafe fn vectors<S: Simd>(
        &self,
        s: S,
        from: *const f32,
        to: *mut f32,
        len: usize,
        silu: bool,
    ) {
        let (centre, factor, shift) = (
            s.splat(self.centre),
            s.splat(self.factor),
            s.splat(self.shift),
        );
        for at in (0..len).step_by(S::LANES) {
            // SAFETY: the caller's promise.
            unsafe {
                let y = s.mul_add(s.sub(s.load(from.add(at)), centre), factor, shift);
                s.store(to.add(at), if silu { Silu.apply(s, y) } else { y });
            }
        }
    }
}

/// Mean and (biased) variance. Both are taken of a piece at a time, while it is in the nearest cache, and merged in `f64` (Chan et al.
/// 1979).
#[inline(always)]
fn moments<S: Simd, E: Scalar>(s: S, x: &[E]) -> (f64, f64) {
    let mut buffer = [0.0f32; BUFFER];
    let (mut before, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for x in x.chunks(BUFFER) {
        let count = x.len() as f64;
        let own = total::<S, 1>(s, whole(s, x, 0.0, &mut buffer), 0.0) / count;
        // Deviations from the rounded mean; the second term takes the rounding back out.
        let rounded = own as f32;
        let deviations = total::<S, 2>(s, whole(s, x, rounded, &mut buffer), rounded);
        let error = own - f64::from(rounded);
        let distance = own - mean;
        let share = count / (before + count);
        squares += deviations - count * error * error + distance * distance * before * share;
        mean += distance * share;
        before += count;
    }
    (mean, (squares / before).max(0.0))
}

/// The mean of the squares.
#[inline(always)]
fn mean_square<S: Simd, E: Scalar>(s: S, x: &[E]) -> f64 {
    let mut buffer = [0.0f32; BUFFER];
    let mut squares = 0.0;
    for x in x.chunks(BUFFER) {
        squares += total::<S, 2>(s, whole(s, x, 0.0, &mut buffer), 0.0);
    }
    squares / x.len() as f64
}

/// At most [`BUFFER`] numbers in `f32`, filled up to four vectors, or a multiple, with `filling`; in `buffer` where they are not so already.
#[inline(always)]
fn whole<'a, S: Simd, E: Scalar>(
    _: S,
    x: &'a [E],
    filling: f32,
    buffer: &'a mut [f32; BUFFER],
) -> &'a [f32] {
    let whole = x.len().next_multiple_of(4 * S::LANES);
    match E::as_f32(x) {
        Some(x) if x.len() == whole => x,
        _ => {
            widen(x, buffer);
            buffer[x.len()..whole].fill(filling);
            &buffer[..whole]
        }
    }
}

/// The sum of `(x - centre)^POWER`, where `POWER` is 1 or 2.
#[inline(always)]
fn total<S: Simd, const POWER: usize>(s: S, x: &[f32], centre: f32) -> f64 {
    let mut sums = [s.splat(0.0); 4];
    for four in x.chunks_exact(4 * S::LANES) {
        for (sum, x) in sums.iter_mut().zip(four.chunks_exact(S::LANES)) {
            // SAFETY: `x` is a vector.
            let x = s.sub(unsafe { s.load(x.as_ptr()) }, s.splat(centre));
            *sum = if POWER == 1 {
                s.add(*sum, x)
            } else {
                s.mul_add(x, x, *sum)
            };
        }
    }
    let [a, b, c, d] = sums;
    f64::from(s.sum(s.add(s.add(a, b), s.add(c, d))))
}

/// Parameters of a normalisation of rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowNorm<'a> {
    pub(crate) width: usize,
    pub(crate) gamma: &'a [f32],
    pub(crate) beta: &'a [f32],
    pub(crate) eps: f64,
    /// Subtract the mean (layer norm) or not (root mean square).
    pub(crate) centred: bool,
}

/// Normalises each row of `width` numbers.
pub(crate) fn row_norm<E: Scalar>(norm: RowNorm<'_>, from: &[E], to: &mut [MaybeUninit<E>]) {
    let rows = ((1 << 14) / norm.width.max(1)).max(1);
    let out = Shared::new(to);
    from.par_chunks((rows * norm.width).max(1))
        .enumerate()
        .for_each(|(task, from)| {
            // SAFETY: each task has its own rows.
            let to = unsafe { out.part(task * rows * norm.width, from.len()) };
            vectorised(Rows { norm, from, to });
        });
}

struct Rows<'a, E> {
    norm: RowNorm<'a>,
    from: &'a [E],
    to: &'a mut [MaybeUninit<E>],
}

impl<E: Scalar> Job for Rows<'_, E> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let norm = self.norm;
        let rows = self
            .from
            .chunks_exact(norm.width)
            .zip(self.to.chunks_exact_mut(norm.width));
        for (from, to) in rows {
            let (mean, square) = if norm.centred {
                moments(s, from)
            } else {
                (0.0, mean_square(s, from))
            };
            let scale = (1.0 / (square + norm.eps).sqrt()) as f32;
            let mean = mean as f32;
            let parameters = norm.gamma.iter().zip(norm.beta);
            for ((to, from), (gamma, beta)) in to.iter_mut().zip(from).zip(parameters) {
                to.write(E::narrow((from.widen() - mean) * scale * gamma + beta));
            }
        }
    }
}
