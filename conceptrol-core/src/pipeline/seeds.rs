//! Noise of each picture from its own seed.

use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::models::noise::{Generator, NoiseDtype};

/// One generator a picture, so that a picture does not depend on the batch it is in.
#[derive(Debug, Clone)]
pub struct Seeds {
    generators: Vec<Generator>,
    dtype: NoiseDtype,
    device: Device,
}

impl Seeds {
    /// Picture `i` of `images` has the seed `first + i`; numbers are drawn as torch draws them in `dtype`.
    pub fn new(first: u64, images: usize, dtype: NoiseDtype, device: &Device) -> Self {
        let seeds = (0..images as u64).map(|i| first.wrapping_add(i));
        Self {
            generators: seeds.map(Generator::new).collect(),
            dtype,
            device: device.clone(),
        }
    }

    /// Where the numbers are put.
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// The next standard normal numbers of every picture, in f32.
    ///
    /// # Shapes
    ///
    /// -> `[images, channels, height, width]`, `shape` being the last three.
    pub fn noise(&mut self, shape: [usize; 3]) -> Tensor<4> {
        let pictures = (0..self.generators.len()).map(|picture| self.noise_of(picture, shape));
        Tensor::cat(pictures.collect(), 0)
    }

    /// The next standard normal numbers of one picture, in f32.
    ///
    /// # Shapes
    ///
    /// -> `[1, channels, height, width]`
    ///
    /// # Panics
    ///
    /// Panics if there is no such picture.
    pub fn noise_of(&mut self, picture: usize, shape: [usize; 3]) -> Tensor<4> {
        let [channels, height, width] = shape;
        let shape = [1, channels, height, width];
        let numbers = self.generators[picture].randn_in(&shape, self.dtype);
        Tensor::from_data(TensorData::new(numbers, shape), (&self.device, DType::F32))
    }
}
