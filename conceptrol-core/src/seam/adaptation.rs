//! Additions to the outputs of a model's modules: what a plan has beside processors.

use std::{collections::HashMap, fmt, sync::Arc};

use burn::tensor::Tensor;

use crate::{
    kernel,
    seam::{ConditionSchedule, Grid},
};

/// What the rows of a module's output stand for, so that a concept's mask can be found for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ground {
    /// Latent tokens or pixels on a grid.
    Latents(Grid),
    /// Text tokens.
    Text,
    /// Text tokens, then latent tokens on a grid.
    Joint {
        /// Number of text tokens.
        text: usize,
        /// Grid of the latents.
        grid: Grid,
    },
    /// No place: a vector for the whole picture, such as the embedding of time.
    Whole,
}

/// A change of a linear layer or convolution, `up (down x)`, kept apart from its weight.
#[derive(Debug, Clone)]
pub struct LowRank {
    /// `[rank, in * kernel]`; `None` if the change has full rank and `up` is all of it.
    pub down: Option<Tensor<2>>,
    /// `[out, rank]`, or `[out, in * kernel]`.
    pub up: Tensor<2>,
}

/// Kernel, stride and padding of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvolutionShape {
    /// Cells along a side of the kernel.
    pub kernel: usize,
    /// Cells from one window to the next.
    pub stride: usize,
    /// Zeros added (above, below) and (left, right).
    pub padding: [(usize, usize); 2],
}

impl LowRank {
    /// What it adds to a linear layer's output.
    ///
    /// # Shapes
    ///
    /// `[.., in]` -> `[.., out]`
    pub fn tokens<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let x = match &self.down {
            Some(down) => kernel::linear(x, down.clone(), None),
            None => x,
        };
        kernel::linear(x, self.up.clone(), None)
    }

    /// What it adds to a convolution's output.
    ///
    /// # Shapes
    ///
    /// `[batch, in, height, width]` -> `[batch, out, ..]`, as the convolution's
    pub fn pixels(&self, x: Tensor<4>, shape: ConvolutionShape) -> Tensor<4> {
        let ConvolutionShape {
            kernel,
            stride,
            padding,
        } = shape;
        let channels = x.dims()[1];
        let weight = |matrix: &Tensor<2>| {
            let [rows, _] = matrix.dims();
            matrix.clone().reshape([rows, channels, kernel, kernel])
        };
        let Some(down) = &self.down else {
            return kernel::conv2d(x, weight(&self.up), None, stride, padding);
        };
        let x = kernel::conv2d(x, weight(down), None, stride, padding);
        let [out, rank] = self.up.dims();
        let up = self.up.clone().reshape([out, rank, 1, 1]);
        kernel::conv2d(x, up, None, 1, [(0, 0); 2])
    }
}

/// Additions to modules of a model, by their names: a low-rank adapter that is kept apart from the weights, with a strength
/// over the steps, everywhere or where a concept acts.
///
/// For a concept with mask `A` the output of a module becomes `y + strength * A * up (down x)`: `A` on the module's own grid,
/// with a peak of 1. On text tokens `A` is 1 at the concept's words and 0 elsewhere. Before there is a mask, and in modules
/// that have no place in the picture, nothing is added.
#[derive(Debug, Clone)]
pub struct Adaptation {
    pub(super) name: String,
    pub(super) modules: Arc<HashMap<String, Vec<LowRank>>>,
    pub(super) strength: ConditionSchedule,
    pub(super) concept: Option<usize>,
}

impl Adaptation {
    /// Additions everywhere, with strength 1. Messages call them `name`.
    pub fn new(name: impl Into<String>, modules: Arc<HashMap<String, Vec<LowRank>>>) -> Self {
        Self {
            name: name.into(),
            modules,
            strength: ConditionSchedule::default(),
            concept: None,
        }
    }

    /// Sets how strongly they act over the steps.
    pub const fn strength(mut self, strength: ConditionSchedule) -> Self {
        self.strength = strength;
        self
    }

    /// Lets them act where a concept of the session acts, by its index.
    pub const fn concept(mut self, concept: usize) -> Self {
        self.concept = Some(concept);
        self
    }
}

impl fmt::Display for Adaptation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(strength {}", self.name, self.strength.scale)?;
        if let Some(concept) = self.concept {
            write!(f, ", concept {concept}")?;
        }
        write!(f, ") at {} modules", self.modules.len())
    }
}
