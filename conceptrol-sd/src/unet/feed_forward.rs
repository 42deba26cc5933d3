use burn::module::Module;
use burn::tensor::Tensor;
use conceptrol_core::kernel;
use conceptrol_core::models::nn::Linear;
use conceptrol_core::models::weights::Weights;

/// How much wider the hidden layer is than the tokens.
const EXPANSION: usize = 4;

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
    pub(super) fn forward(&self, tokens: Tensor<3>) -> Tensor<3> {
        self.proj_out
            .forward(kernel::geglu(self.proj_in.forward(tokens)))
    }
}
