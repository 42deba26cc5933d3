//! The last few tensors of a run, newest first.

use std::collections::VecDeque;

use burn::tensor::Tensor;

/// Up to `capacity` tensors.
#[derive(Debug, Clone)]
pub(super) struct History {
    tensors: VecDeque<Tensor<4>>,
    capacity: usize,
}

impl History {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            tensors: VecDeque::with_capacity(capacity),
            capacity,
        }
    }

    /// Puts a tensor in front and drops the oldest if there is no room.
    pub(super) fn push(&mut self, tensor: Tensor<4>) {
        self.tensors.truncate(self.capacity.saturating_sub(1));
        self.tensors.push_front(tensor);
    }

    pub(super) fn len(&self) -> usize {
        self.tensors.len()
    }

    pub(super) fn clear(&mut self) {
        self.tensors.clear();
    }

    /// The tensors with their weights, newest first.
    pub(super) fn weighted<'a>(
        &'a self,
        weights: &'a [f32],
    ) -> impl Iterator<Item = (f32, &'a Tensor<4>)> {
        weights.iter().copied().zip(&self.tensors)
    }
}
