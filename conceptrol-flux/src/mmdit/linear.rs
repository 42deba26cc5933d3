//! A linear layer whose low-rank additions depend on the token stream that passes through it.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use conceptrol_core::kernel;
use conceptrol_core::models::nn::Linear;
use conceptrol_core::models::weights::Weights;

/// The token streams that share weights but not adapters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Text and latent tokens: style adapters act here.
    Main,
    /// Condition tokens: the adapter that teaches the model to read a reference acts here.
    Condition,
}

/// A low-rank addition `B (A x)` to a linear layer; its strength is already part of `B`.
#[derive(Module, Debug)]
pub struct LowRank {
    /// `[rank, inputs]`
    down: Param<Tensor<2>>,
    /// `[outputs, rank]`
    up: Param<Tensor<2>>,
}

impl LowRank {
    /// The addition `scale * up (down x)`.
    ///
    /// # Shapes
    /// `down` `[rank, inputs]`, `up` `[outputs, rank]`
    pub fn new(down: Tensor<2>, up: Tensor<2>, scale: f64) -> Self {
        Self {
            down: Param::from_tensor(down),
            up: Param::from_tensor(up.mul_scalar(scale)),
        }
    }

    fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        kernel::linear(
            kernel::linear(x, self.down.val(), None),
            self.up.val(),
            None,
        )
    }
}

/// `W x + b`, plus the low-rank additions of the stream `x` belongs to.
#[derive(Module, Debug)]
pub(crate) struct StreamLinear {
    base: Linear,
    main: Vec<LowRank>,
    condition: Vec<LowRank>,
    /// Name of the layer in the checkpoint, by which adapters find it.
    #[module(skip)]
    name: String,
}

impl StreamLinear {
    /// A layer with bias and without additions.
    pub(crate) fn new(weights: &Weights, inputs: usize, outputs: usize) -> Self {
        Self {
            base: Linear::new(weights, inputs, outputs, true),
            main: Vec::new(),
            condition: Vec::new(),
            name: weights.path(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Replaces the additions of a stream.
    pub(crate) fn set_additions(&mut self, stream: Stream, additions: Vec<LowRank>) {
        match stream {
            Stream::Main => self.main = additions,
            Stream::Condition => self.condition = additions,
        }
    }

    /// # Shapes
    /// `x` `[..., inputs]` -> `[..., outputs]`
    pub(crate) fn forward<const D: usize>(&self, x: Tensor<D>, stream: Stream) -> Tensor<D> {
        let additions = match stream {
            Stream::Main => &self.main,
            Stream::Condition => &self.condition,
        };
        let y = self.base.forward(x.clone());
        additions
            .iter()
            .fold(y, |y, addition| y + addition.forward(x.clone()))
    }
}
