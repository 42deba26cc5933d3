//! The batch of a step. Its random numbers follow from the seed and the number of the step, not from the steps before.

use burn::tensor::{DType, Device, Tensor, TensorData};
use conceptrol_core::models::noise::Generator;

use super::{Batch, pictures::Latents};

/// What steps are made of.
#[derive(Debug)]
pub(super) struct Data {
    /// The subject's pictures, and those of its class with prior preservation.
    pub(super) latents: Vec<Latents>,
    /// The prompt of each, `[1, tokens, context]`.
    pub(super) contexts: Vec<Tensor<3>>,
    /// Rows of each in a step.
    pub(super) batch: usize,
    /// Number of training timesteps.
    pub(super) timesteps: usize,
    pub(super) seed: u64,
    pub(super) device: Device,
}

impl Data {
    /// The batch of step `step`, counted from 0.
    pub(super) fn batch(&self, step: usize) -> Batch {
        let mut generator = Generator::new(mixed(self.seed, step as u64 + 1));
        let mut normal = |[channels, height, width]: [usize; 3]| {
            let shape = [self.batch, channels, height, width];
            let data = TensorData::new(generator.randn(&shape), shape);
            Tensor::<4>::from_data(data, (&self.device, DType::F32))
        };
        let mut clean = Vec::new();
        let mut noise = Vec::new();
        for (source, latents) in self.latents.iter().enumerate() {
            let which = self.which(source, step, latents.len());
            clean.push(latents.sample(&which, normal(latents.shape())));
            noise.push(normal(latents.shape()));
        }
        let rows = self.batch * self.latents.len();
        let uniform = generator.rand(rows).into_iter();
        let timestep = |x: f32| below(x, self.timesteps);
        let repeated = |context: &Tensor<3>| context.clone().repeat_dim(0, self.batch);
        Batch {
            latents: Tensor::cat(clean, 0),
            noise: Tensor::cat(noise, 0),
            timesteps: uniform.map(timestep).collect(),
            context: Tensor::cat(self.contexts.iter().map(repeated).collect(), 0),
            instances: self.batch,
        }
    }

    /// The pictures of a step: all of a source once, in an order of its own, before any a second time.
    fn which(&self, source: usize, step: usize, pictures: usize) -> Vec<usize> {
        let places = step * self.batch..(step + 1) * self.batch;
        places
            .map(|place| {
                let round = (place / pictures) as u64;
                let seed = mixed(mixed(self.seed, u64::MAX - source as u64), round);
                shuffled(seed, pictures)[place % pictures]
            })
            .collect()
    }
}

/// 0 to `count - 1` in a random order (Fisher and Yates).
fn shuffled(seed: u64, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    let uniform = Generator::new(seed).rand(count);
    for last in (1..count).rev() {
        order.swap(last, below(uniform[last], last + 1));
    }
    order
}

/// A number in [0, 1) as an index below `count`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "counts are far below 2^24, and the product below the count"
)]
fn below(uniform: f32, count: usize) -> usize {
    ((f64::from(uniform) * count as f64) as usize).min(count - 1)
}

/// A seed from two numbers: the finaliser of `SplitMix64` (Steele, Lea and Flood 2014).
fn mixed(seed: u64, number: u64) -> u64 {
    let mut z = seed.wrapping_add(number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_picture_is_shown_before_one_comes_again() {
        for count in [1, 2, 5, 33] {
            let mut order = shuffled(3, count);
            order.sort_unstable();
            assert!(order.iter().copied().eq(0..count), "{order:?}");
        }
        assert_ne!(shuffled(1, 33), shuffled(2, 33));
    }

    #[test]
    fn uniform_numbers_reach_every_index_and_no_more() {
        let largest = 1.0 - f32::EPSILON / 2.0;
        assert_eq!(
            [below(0.0, 1000), below(largest, 1000), below(0.5, 4)],
            [0, 999, 2]
        );
    }
}
