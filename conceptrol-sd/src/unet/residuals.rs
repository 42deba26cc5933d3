use burn::tensor::Tensor;

use super::UNetError;
use super::error::expect;

/// What `ControlNets` add within a UNet.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Residuals {
    /// For each skip connection, in the order the down blocks leave them, `[rows, channels, height, width]`; height and width
    /// are 1 where one number is for the whole picture.
    pub down: Vec<Tensor<4>>,
    /// For what comes out of the middle.
    pub mid: Tensor<4>,
}

impl Residuals {
    /// Those for the skip connections and for the middle.
    pub const fn new(down: Vec<Tensor<4>>, mid: Tensor<4>) -> Self {
        Self { down, mid }
    }

    /// Each changed, the middle last; `change` gets its number, too.
    #[must_use]
    pub fn map(self, mut change: impl FnMut(usize, Tensor<4>) -> Tensor<4>) -> Self {
        let count = self.down.len();
        let down = self.down.into_iter().enumerate();
        let down = down.map(|(index, x)| change(index, x)).collect();
        Self {
            down,
            mid: change(count, self.mid),
        }
    }

    /// The sum with those of another net for the same UNet.
    ///
    /// # Panics
    ///
    /// If they are for another UNet.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let mut others = other.down.into_iter().chain([other.mid]);
        self.map(|_, x| x + others.next().expect("as many skip connections"))
    }

    /// The middle and the skip connections with these added.
    pub(super) fn added_to(
        self,
        mid: Tensor<4>,
        skips: Vec<Tensor<4>>,
    ) -> Result<(Tensor<4>, Vec<Tensor<4>>), UNetError> {
        expect(
            "the residuals",
            "skip connections",
            self.down.len(),
            skips.len(),
        )?;
        let pairs = skips.iter().zip(&self.down).chain([(&mid, &self.mid)]);
        for (x, residual) in pairs {
            let ([rows, channels, ..], [found_rows, found, ..]) = (x.dims(), residual.dims());
            expect("the residuals", "rows", found_rows, rows)?;
            expect("the residuals", "channels", found, channels)?;
        }
        let dtype = mid.dtype();
        let add = |(x, residual): (Tensor<4>, Tensor<4>)| x + residual.cast(dtype);
        let skips = skips.into_iter().zip(self.down).map(add).collect();
        Ok((mid + self.mid.cast(dtype), skips))
    }
}
