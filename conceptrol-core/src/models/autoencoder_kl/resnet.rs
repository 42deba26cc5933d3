use burn::module::Module;
use burn::tensor::Tensor;

use super::AutoencoderError;
use crate::cancel::Cancel;
use crate::kernel;
use crate::models::nn::{Conv2d, GroupNorm};
use crate::models::weights::Weights;

/// Epsilon of every group norm of the autoencoder (`resnet_eps` in diffusers).
pub(super) const NORM_EPS: f64 = 1e-6;

/// Two 3x3 convolutions, each behind group norm and `SiLU`, beside a residual.
#[derive(Module, Debug)]
pub(super) struct ResnetBlock {
    norm1: GroupNorm,
    conv1: Conv2d,
    norm2: GroupNorm,
    conv2: Conv2d,
    conv_shortcut: Option<Conv2d>,
}

impl ResnetBlock {
    pub(super) fn new(w: &Weights, c_in: usize, c_out: usize, groups: usize) -> Self {
        Self {
            norm1: GroupNorm::new(&w.at("norm1"), groups, c_in, NORM_EPS),
            conv1: Conv2d::new(&w.at("conv1"), c_in, c_out, 3, 1, 1),
            norm2: GroupNorm::new(&w.at("norm2"), groups, c_out, NORM_EPS),
            conv2: Conv2d::new(&w.at("conv2"), c_out, c_out, 3, 1, 1),
            conv_shortcut: (c_in != c_out)
                .then(|| Conv2d::new(&w.at("conv_shortcut"), c_in, c_out, 1, 1, 0)),
        }
    }

    /// `x: [b, c_in, h, w] -> [b, c_out, h, w]`
    pub(super) fn forward(&self, x: Tensor<4>) -> Result<Tensor<4>, AutoencoderError> {
        go_on()?;
        // The shortcut first: where it narrows, the wide input is gone before the convolutions.
        let residual = match &self.conv_shortcut {
            Some(conv) => conv.forward(x.clone()),
            None => x.clone(),
        };
        let hidden = self.conv1.forward(self.norm1.forward_silu(x));
        go_on()?;
        let hidden = self.conv2.forward(self.norm2.forward_silu(hidden));
        go_on()?;
        Ok(kernel::add(hidden, residual))
    }
}

/// An error if the generation that this thread computes was cancelled: what kernels give then is no result, and only costs time.
pub(super) fn go_on() -> Result<(), AutoencoderError> {
    if Cancel::current().is_cancelled() {
        return Err(AutoencoderError::Cancelled);
    }
    Ok(())
}
