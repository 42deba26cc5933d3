use burn::module::Module;
use burn::tensor::Tensor;
use conceptrol_core::kernel;
use conceptrol_core::models::nn::Linear;
use conceptrol_core::models::weights::Weights;
use conceptrol_core::{Grid, Ground, Session};

/// How much wider the hidden layer is than the tokens.
const EXPANSION: usize = 4;

/// Numbers of the hidden layer that exist at once, values and gates: 2^24 f32 are 64 MiB. SDXL at
/// 1024x1024 would have 160 MiB.
const MAX_HIDDEN: usize = 1 << 24;

/// A gated feed-forward network: project to values and gates, `value * gelu(gate)`, project back.
#[derive(Module, Debug)]
pub(super) struct FeedForward {
    proj_in: Linear,
    proj_out: Linear,
}

impl FeedForward {
    pub(super) fn new(dim: usize, w: &Weights) -> Self {
        let hidden = EXPANSION * dim;
        let net = w.at("net");
        Self {
            // Entry 1 of diffusers' list is a dropout.
            proj_in: Linear::new(&net.at(0).at("proj"), dim, 2 * hidden, true),
            proj_out: Linear::new(&net.at(2), hidden, dim, true),
        }
    }

    /// # Shapes
    /// - tokens: `[batch, tokens, dim]`
    /// - output: as tokens
    pub(super) fn forward(
        &self,
        tokens: Tensor<3>,
        grid: Grid,
        session: &mut Session,
    ) -> Tensor<3> {
        let adapts = [&self.proj_in, &self.proj_out].map(|linear| session.adapts(linear.name()));
        if adapts == [false, false] {
            return self.forward_within(MAX_HIDDEN, tokens);
        }
        // at once: what is added may depend on the place of a token
        let latents = Ground::Latents(grid);
        let hidden = kernel::geglu(self.proj_in.adapted(tokens, latents, session));
        self.proj_out.adapted(hidden, latents, session)
    }

    /// In parts whose hidden layer holds at most `max_hidden` numbers: tokens do not see each other here.
    fn forward_within(&self, max_hidden: usize, tokens: Tensor<3>) -> Tensor<3> {
        let [batch, length, dim] = tokens.dims();
        let parts = (batch * length * 2 * EXPANSION * dim).div_ceil(max_hidden);
        if parts <= 1 {
            return self.run(tokens);
        }
        let parts = tokens
            .split(length.div_ceil(parts), 1)
            .into_iter()
            .map(|tokens| self.run(tokens));
        Tensor::cat(parts.collect(), 1)
    }

    fn run(&self, tokens: Tensor<3>) -> Tensor<3> {
        self.proj_out
            .forward(kernel::geglu(self.proj_in.forward(tokens)))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, FloatDType, TensorData};

    use super::*;

    #[test]
    fn parts_do_not_change_the_result() {
        let device = Device::flex();
        let ff = FeedForward::new(6, &Weights::random(1, &device, FloatDType::F32));
        let numbers: Vec<f32> = (0..2 * 37 * 6).map(|i| (i as f32 * 0.37).sin()).collect();
        let tokens = Tensor::from_data(TensorData::new(numbers, [2, 37, 6]), &device);
        let whole = ff.forward_within(usize::MAX, tokens.clone()).into_data();
        for tokens_at_once in [1, 10, 36] {
            let max_hidden = 2 * tokens_at_once * 2 * EXPANSION * 6;
            let parts = ff.forward_within(max_hidden, tokens.clone());
            parts
                .into_data()
                .assert_approx_eq::<f32>(&whole, burn::tensor::Tolerance::absolute(1e-6));
        }
    }
}
