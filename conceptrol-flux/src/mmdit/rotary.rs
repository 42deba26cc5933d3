//! Rotary positions on three axes.

use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use conceptrol_core::kernel;

use crate::latents::Position;

/// Base of the frequencies.
const THETA: f64 = 10_000.0;

/// Cosines and sines that turn the queries and keys of a token sequence by its positions.
///
/// The head's channels are taken in pairs `(2i, 2i + 1)`; the axes get consecutive runs of pairs. Angles are computed in
/// f64 and rounded once, as the reference does. One table serves every block and step of a generation.
#[derive(Debug, Clone)]
pub struct Rotary {
    /// `[1, tokens, 1, head_dim]`, each value twice in a row.
    cos: Tensor<4>,
    sin: Tensor<4>,
}

impl Rotary {
    /// Tabulates the rotations of tokens at `positions`; `axes` are the channels of a head given to each axis.
    ///
    /// # Panics
    /// If an axis has an odd number of channels.
    pub fn new(
        positions: &[Position],
        axes: [usize; 3],
        device: &Device,
        dtype: FloatDType,
    ) -> Self {
        assert!(
            axes.iter().all(|axis| axis.is_multiple_of(2)),
            "odd rotary axis in {axes:?}"
        );
        let tokens = positions.len();
        let head_dim: usize = axes.iter().sum();
        let mut cos = Vec::with_capacity(tokens * head_dim);
        let mut sin = Vec::with_capacity(tokens * head_dim);
        for position in positions {
            for (coordinate, axis) in position.iter().zip(axes) {
                for pair in 0..axis / 2 {
                    let frequency = THETA.powf(-((2 * pair) as f64) / axis as f64);
                    let (s, c) = (coordinate * frequency).sin_cos();
                    cos.extend([c as f32; 2]);
                    sin.extend([s as f32; 2]);
                }
            }
        }
        let table = |values: Vec<f32>, shape: [usize; 4]| {
            Tensor::<4>::from_data(TensorData::new(values, shape), (device, DType::from(dtype)))
        };
        Self {
            cos: table(cos, [1, tokens, 1, head_dim]),
            sin: table(sin, [1, tokens, 1, head_dim]),
        }
    }

    /// Number of tokens of the table.
    pub fn tokens(&self) -> usize {
        self.cos.dims()[1]
    }

    /// Rotates queries or keys.
    ///
    /// # Shapes
    /// `x` `[batch, tokens, heads, head_dim]`, the first of the table -> the same
    ///
    /// # Panics
    /// If there are more tokens than in the table, or the head size is another.
    pub fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let tokens = x.dims()[1];
        if tokens == self.tokens() {
            return kernel::rotary(x, &self.cos, &self.sin);
        }
        let first = |table: &Tensor<4>| table.clone().narrow(1, 0, tokens);
        kernel::rotary(x, &first(&self.cos), &first(&self.sin))
    }
}

#[cfg(test)]
mod tests {
    use super::Rotary;
    use burn::tensor::{Device, FloatDType, Tensor, TensorData};

    #[test]
    fn pairs_turn_by_their_own_axis() {
        let device = Device::flex();
        let rotary = Rotary::new(
            &[[0.0; 3], [0.0, 2.0, 3.0]],
            [2, 2, 4],
            &device,
            FloatDType::F32,
        );
        let x: Vec<f32> = (0..16).map(|i| 0.5 + i as f32).collect();
        let x = Tensor::<4>::from_data(TensorData::new(x.clone(), [1, 2, 1, 8]), &device);
        let turned = rotary
            .apply(x.clone())
            .into_data()
            .try_to_vec::<f32>()
            .expect("f32");
        let x = x.into_data().try_to_vec::<f32>().expect("f32");
        assert_eq!(turned[..8], x[..8], "the origin does not turn");
        // Angles of the second token: index 0, row 2, column 3 at frequencies 1 and 10000^(-2/4) = 0.01.
        for (pair, angle) in [0.0f64, 2.0, 3.0, 0.03].into_iter().enumerate() {
            let (a, b) = (f64::from(x[8 + 2 * pair]), f64::from(x[9 + 2 * pair]));
            let (s, c) = angle.sin_cos();
            assert!(
                (f64::from(turned[8 + 2 * pair]) - (a * c - b * s)).abs() < 1e-5,
                "pair {pair}"
            );
            assert!(
                (f64::from(turned[9 + 2 * pair]) - (b * c + a * s)).abs() < 1e-5,
                "pair {pair}"
            );
        }
    }
}
