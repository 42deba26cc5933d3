//! A linear layer whose low-rank additions depend on the token stream that passes through it.

use burn::module::Module;
use burn::tensor::Tensor;
use conceptrol_core::models::nn::Linear;
use conceptrol_core::models::weights::Weights;
use conceptrol_core::{Ground, LowRank, Session};

/// The token streams that share weights but not additions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Text and latent tokens, and the vectors for all of them: what a plan adds acts here.
    Main(Ground),
    /// Condition tokens: the adapter that teaches the model to read a reference acts here.
    Condition,
}

impl Stream {
    /// The same stream where a layer makes a vector for all tokens.
    pub(crate) fn whole(self) -> Self {
        match self {
            Self::Main(_) => Self::Main(Ground::Whole),
            Self::Condition => Self::Condition,
        }
    }
}

/// `W x + b`, plus the additions of the stream `x` belongs to.
#[derive(Module, Debug)]
pub(crate) struct StreamLinear {
    base: Linear,
    #[module(skip)]
    condition: Vec<LowRank>,
}

impl StreamLinear {
    /// A layer with bias and without additions.
    pub(crate) fn new(weights: &Weights, inputs: usize, outputs: usize) -> Self {
        Self {
            base: Linear::new(weights, inputs, outputs, true),
            condition: Vec::new(),
        }
    }

    /// Name of the layer in the checkpoint, by which adapters find it.
    pub(crate) fn name(&self) -> &str {
        self.base.name()
    }

    /// Replaces the additions for condition tokens.
    pub(crate) fn set_condition(&mut self, additions: Vec<LowRank>) {
        self.condition = additions;
    }

    /// # Shapes
    /// `x` `[..., inputs]` -> `[..., outputs]`
    pub(crate) fn forward<const D: usize>(
        &self,
        x: Tensor<D>,
        stream: Stream,
        session: &mut Session,
    ) -> Tensor<D> {
        match stream {
            Stream::Main(ground) => self.base.adapted(x, ground, session),
            Stream::Condition => {
                let y = self.base.forward(x.clone());
                let additions = self.condition.iter();
                additions.fold(y, |y, addition| y + addition.tokens(x.clone()))
            }
        }
    }
}
