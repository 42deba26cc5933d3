use burn::module::Module;
use burn::tensor::Tensor;
use conceptrol_core::kernel;
use conceptrol_core::models::nn::{Activation, Conv2d, GroupNorm, Linear};
use conceptrol_core::models::weights::Weights;
use conceptrol_core::{Ground, Session};

use crate::config::UNetConfig;

/// Two convolutions with group norms around a shift by the timestep, and a shortcut.
#[derive(Module, Debug)]
pub(super) struct ResnetBlock {
    norm1: GroupNorm,
    conv1: Conv2d,
    time_emb_proj: Linear,
    norm2: GroupNorm,
    conv2: Conv2d,
    conv_shortcut: Option<Conv2d>,
    #[module(skip)]
    activation: Activation,
}

impl ResnetBlock {
    pub(super) fn new(config: &UNetConfig, c_in: usize, c_out: usize, w: &Weights) -> Self {
        let norm = |name, channels| {
            GroupNorm::new(&w.at(name), config.norm_groups, channels, config.norm_eps)
        };
        let conv =
            |name, c_in, kernel| Conv2d::new(&w.at(name), c_in, c_out, kernel, 1, kernel / 2);
        Self {
            norm1: norm("norm1", c_in),
            conv1: conv("conv1", c_in, 3),
            time_emb_proj: Linear::new(&w.at("time_emb_proj"), config.time.embed_dim, c_out, true),
            norm2: norm("norm2", c_out),
            conv2: conv("conv2", c_out, 3),
            conv_shortcut: (c_in != c_out).then(|| conv("conv_shortcut", c_in, 1)),
            activation: config.activation,
        }
    }

    /// # Shapes
    /// - x: `[batch, c_in, height, width]`
    /// - time: `[batch or 1, embed_dim]`, the activated embedding
    /// - output: `[batch, c_out, height, width]`
    pub(super) fn forward(
        &self,
        x: Tensor<4>,
        time: &Tensor<2>,
        session: &mut Session,
    ) -> Tensor<4> {
        // The shortcut first: where it narrows, the wide input is gone before the convolutions.
        let residual = match &self.conv_shortcut {
            Some(shortcut) => shortcut.adapted(x.clone(), session),
            None => x.clone(),
        };
        let hidden = self.conv1.adapted(self.activated(&self.norm1, x), session);
        let shift = (self.time_emb_proj).adapted(time.clone(), Ground::Whole, session); // [batch or 1, c_out]
        let hidden = hidden + shift.unsqueeze_dims::<4>(&[2, 3]);
        let hidden = self.activated(&self.norm2, hidden);
        kernel::add(self.conv2.adapted(hidden, session), residual)
    }

    fn activated(&self, norm: &GroupNorm, x: Tensor<4>) -> Tensor<4> {
        match self.activation {
            Activation::Silu => norm.forward_silu(x),
            activation => activation.forward(norm.forward(x)),
        }
    }
}
