use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::{
    scalar::{Scalar, narrow, widen},
    shared::Shared,
    simd::{Job, Simd, exp, exp2, vectorised},
};

/// Numbers of a task: 64 KB in `f32`.
const CHUNK: usize = 1 << 14;
/// Numbers widened at a time.
const BUFFER: usize = 512;

/// A function of one number.
pub(crate) trait Function: Copy + Send + Sync {
    fn apply<S: Simd>(self, s: S, x: S::V) -> S::V;
}

/// `x / (1 + e^-x)`.
#[derive(Clone, Copy)]
pub(crate) struct Silu;

impl Function for Silu {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::V) -> S::V {
        let e = exp(s, s.sub(s.splat(0.0), x));
        s.div(x, s.add(s.splat(1.0), e))
    }
}

/// `x / (1 + e^(-1.702 x))`.
#[derive(Clone, Copy)]
pub(crate) struct QuickGelu;

impl Function for QuickGelu {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::V) -> S::V {
        let e = exp(s, s.mul(x, s.splat(-1.702)));
        s.div(x, s.add(s.splat(1.0), e))
    }
}

/// `x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`, with `(1 + tanh(y)) / 2 = 1 / (1 + e^-2y)`.
#[derive(Clone, Copy)]
pub(crate) struct GeluTanh;

impl Function for GeluTanh {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::V) -> S::V {
        const MINUS_TWO_ROOT: f32 = -1.595_769;
        let cubic = s.mul_add(s.mul(x, x), s.splat(0.044_715), s.splat(1.0));
        let e = exp(s, s.mul(s.mul(x, cubic), s.splat(MINUS_TWO_ROOT)));
        s.div(x, s.add(s.splat(1.0), e))
    }
}

/// `x Phi(x)`, where Phi is the normal distribution function.
#[derive(Clone, Copy)]
pub(crate) struct Gelu;

impl Function for Gelu {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::V) -> S::V {
        // log2(Phi(-t)) for t in 0..6, fitted so that Phi is right to 4e-8 everywhere; beyond 6 it is below 1e-9.
        const COEFFICIENTS: [f32; 10] = [
            2.135_608_8e-7,
            -5.067_428e-6,
            4.783_298e-5,
            -1.992_615e-4,
            -1.342_676_3e-4,
            7.078_549_4e-3,
            -5.251_31e-2,
            -4.592_014_9e-1,
            -1.151_106_1,
            -1.0,
        ];
        let zero = s.splat(0.0);
        let t = s.min(s.splat(6.0), s.max(x, s.sub(zero, x)));
        let mut p = s.splat(COEFFICIENTS[0]);
        for c in &COEFFICIENTS[1..] {
            p = s.mul_add(p, t, s.splat(*c));
        }
        let tail = exp2(s, p);
        s.mul(x, s.select_less(x, zero, tail, s.sub(s.splat(1.0), tail)))
    }
}

/// `function` of every number of `from` into `to`, which may be the same memory.
///
/// # Safety
/// Both point to `len` numbers; `to` is not accessed otherwise, `from` not written.
pub(crate) unsafe fn map<E: Scalar, F: Function>(
    function: F,
    from: *const E,
    to: *mut E,
    len: usize,
) {
    let (from, to) = (Pointer(from.cast_mut()), Pointer(to));
    (0..len.div_ceil(CHUNK)).into_par_iter().for_each(|task| {
        let start = task * CHUNK;
        let len = CHUNK.min(len - start);
        vectorised(Map {
            function,
            from: from.at(start),
            to: to.at(start),
            len,
        });
    });
}

/// A pointer whose users promise disjoint accesses.
#[derive(Clone, Copy)]
struct Pointer<E>(*mut E);
// SAFETY: see `map`: each task has its own range.
unsafe impl<E: Send> Send for Pointer<E> {}
// SAFETY: as above.
unsafe impl<E: Send> Sync for Pointer<E> {}

impl<E> Pointer<E> {
    fn at(self, offset: usize) -> *mut E {
        self.0.wrapping_add(offset)
    }
}

struct Map<E, F> {
    function: F,
    from: *mut E,
    to: *mut E,
    len: usize,
}

impl<E: Scalar, F: Function> Job for Map<E, F> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut buffer = [0.0f32; BUFFER];
        for start in (0..self.len).step_by(BUFFER) {
            let len = BUFFER.min(self.len - start);
            // SAFETY: the range belongs to this job; it is read before it is written, and no reference outlives either.
            unsafe {
                let (from, to) = (self.from.add(start), self.to.add(start));
                if E::IS_F32 && len.is_multiple_of(S::LANES) {
                    vectors(s, self.function, from.cast(), to.cast(), len);
                    continue;
                }
                widen(std::slice::from_raw_parts(from, len), &mut buffer);
                vectors(s, self.function, buffer.as_ptr(), buffer.as_mut_ptr(), len);
                let to = std::slice::from_raw_parts_mut(to.cast::<MaybeUninit<E>>(), len);
                narrow(&buffer[..len], to);
            }
        }
    }
}

/// `function` of `len` numbers and of what else is in the last vector.
///
/// # Safety
/// `from` and `to` point to whole vectors; they may be the same.
#[inline(always)]
unsafe fn vectors<S: Simd>(
    s: S,
    function: impl Function,
    from: *const f32,
    to: *mut f32,
    len: usize,
) {
    for at in (0..len).step_by(S::LANES) {
        // SAFETY: the caller's promise.
        unsafe { s.store(to.add(at), function.apply(s, s.load(from.add(at)))) };
    }
}

/// `value * gelu(gate)` for rows `[values, gates]` of `2 * width` numbers.
pub(crate) fn geglu<E: Scalar>(from: &[E], width: usize, to: &mut [MaybeUninit<E>]) {
    let rows = (CHUNK / width.max(1)).max(1);
    let out = Shared::new(to);
    from.par_chunks((rows * 2 * width).max(1))
        .enumerate()
        .for_each(|(task, from)| {
            let len = from.len() / 2;
            // SAFETY: each task has its own rows.
            let to = unsafe { out.part(task * rows * width, len) };
            vectorised(Geglu { from, width, to });
        });
}

struct Geglu<'a, E> {
    from: &'a [E],
    width: usize,
    to: &'a mut [MaybeUninit<E>],
}

impl<E: Scalar> Job for Geglu<'_, E> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (mut values, mut gates) = ([0.0f32; BUFFER], [0.0f32; BUFFER]);
        let rows = self
            .from
            .chunks_exact(2 * self.width)
            .zip(self.to.chunks_exact_mut(self.width));
        for (from, to) in rows {
            let (from, gate) = from.split_at(self.width);
            for ((from, gate), to) in from
                .chunks(BUFFER)
                .zip(gate.chunks(BUFFER))
                .zip(to.chunks_mut(BUFFER))
            {
                widen(from, &mut values);
                widen(gate, &mut gates);
                for at in (0..from.len()).step_by(S::LANES) {
                    // SAFETY: `BUFFER` is a multiple of `LANES`.
                    unsafe {
                        let value = values.as_mut_ptr().add(at);
                        let gate = Gelu.apply(s, s.load(gates.as_ptr().add(at)));
                        s.store(value, s.mul(s.load(value), gate));
                    }
                }
                narrow(&values[..from.len()], to);
            }
        }
    }
}
