//! The generator behind a seed.

use std::fmt;

use half::{bf16, f16};

use super::normal::{BLOCK, Draw, fill, pair};
use crate::mt19937::Mt19937;

/// The float type numbers are drawn in.
///
/// torch draws half-precision noise from uniforms of only 11 (`f16`) or 8 (`bf16`) bits: such noise is *not* the rounded
/// `f32` noise of the same seed. Pipelines of the reference draw in `f32` except where they run entirely in half precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum NoiseDtype {
    /// 24-bit uniforms.
    #[default]
    F32,
    /// 11-bit uniforms.
    F16,
    /// 8-bit uniforms.
    Bf16,
    /// 53-bit uniforms; the result is rounded to `f32`.
    F64,
}

/// Standard normal numbers in the order of `torch.Generator().manual_seed(seed)` and `torch.randn` on the CPU.
///
/// Consecutive draws continue one sequence, as they do in torch: two draws of 8 differ from one draw of 16.
/// Draws of fewer than 16 numbers equal torch's bit for bit; larger ones within 2e-6, the spread of torch's own kernels
/// between instruction sets.
///
/// ```
/// use conceptrol_core::models::noise::Generator;
///
/// let latents = Generator::new(42).randn(&[1, 4, 64, 64]);
/// assert_eq!(latents.len(), 4 * 64 * 64);
/// // torch truncates seeds to 32 bits.
/// assert_eq!(Generator::new(1 << 32).randn(&[3]), Generator::new(0).randn(&[3]));
/// ```
#[derive(Clone)]
pub struct Generator {
    engine: Mt19937,
    /// The second half of a Box-Muller pair, kept for the next small draw.
    spare: Option<f64>,
}

impl Generator {
    /// A generator at the start of the sequence of `seed`, of which torch uses the low 32 bits.
    pub fn new(seed: u64) -> Self {
        Self {
            engine: Mt19937::new(seed as u32),
            spare: None,
        }
    }

    /// Draws normal numbers for a tensor of this shape, in row-major order; see [`Self::randn_in`].
    pub fn randn(&mut self, shape: &[usize]) -> Vec<f32> {
        self.randn_in(shape, NoiseDtype::F32)
    }

    /// Draws normal numbers as `torch.randn(shape, dtype=dtype)` does, and converts them to `f32`.
    pub fn randn_in(&mut self, shape: &[usize], dtype: NoiseDtype) -> Vec<f32> {
        let count = shape.iter().product();
        match dtype {
            NoiseDtype::F32 => self.draw::<f32>(count),
            NoiseDtype::F16 => to_f32(self.draw::<f16>(count)),
            NoiseDtype::Bf16 => to_f32(self.draw::<bf16>(count)),
            NoiseDtype::F64 => to_f32(self.draw::<f64>(count)),
        }
    }

    /// Draws `count` uniform numbers in [0, 1), as `torch.rand(count)` does.
    pub fn rand(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| f32::uniform(&mut self.engine)).collect()
    }

    fn draw<T: Draw>(&mut self, count: usize) -> Vec<T> {
        if count < BLOCK {
            return (0..count).map(|_| T::round(self.next_one())).collect();
        }
        let mut out = vec![T::round(0.0); count];
        fill(&mut self.engine, &mut out);
        out
    }

    fn next_one(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let (value, spare) = pair(&mut self.engine);
        self.spare = Some(spare);
        value
    }
}

impl fmt::Debug for Generator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generator").finish_non_exhaustive()
    }
}

fn to_f32<T: Draw>(values: Vec<T>) -> Vec<f32> {
    values.into_iter().map(|x| x.widen() as f32).collect()
}

/// Noise for a batch with one seed an image: image `i` equals a batch of one drawn with `seeds[i]`, whatever the others are.
///
/// # Shapes
/// - `shape`: of one image, without the batch axis
/// - result: `[seeds.len(), ..shape]`, row-major
pub fn randn_per_seed(seeds: &[u64], shape: &[usize], dtype: NoiseDtype) -> Vec<f32> {
    let draw = |&seed: &u64| Generator::new(seed).randn_in(shape, dtype);
    seeds.iter().flat_map(draw).collect()
}
