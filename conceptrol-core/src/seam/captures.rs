//! What was recorded during a session, within a byte budget.

use crate::mask::ConceptMask;

/// Bytes that captures may hold unless said otherwise: 256 MiB.
const DEFAULT_BUDGET: usize = 256 << 20;

/// The map of one concept at one call.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Capture {
    /// Index of the concept.
    pub concept: usize,
    /// The concept's textual map, not normalised; its stamp says site and step.
    pub map: ConceptMask,
}

/// What was captured during a session: tensors on the device, read back only by who looks.
#[derive(Debug)]
pub struct Captures {
    budget: usize,
    used: usize,
    dropped: usize,
    items: Vec<Capture>,
}

impl Default for Captures {
    fn default() -> Self {
        Self::with_budget(DEFAULT_BUDGET)
    }
}

impl Capture {
    /// The map of concept number `concept`.
    pub const fn new(concept: usize, map: ConceptMask) -> Self {
        Self { concept, map }
    }
}

impl Captures {
    /// Captures that hold at most `budget` bytes.
    pub const fn with_budget(budget: usize) -> Self {
        Self {
            budget,
            used: 0,
            dropped: 0,
            items: Vec::new(),
        }
    }

    /// Keeps a capture, or counts it as dropped when the budget is spent.
    pub fn push(&mut self, capture: Capture) {
        let values = capture.map.values();
        let bytes = values.shape().num_elements() * values.dtype().size();
        if self.used + bytes > self.budget {
            self.dropped += 1;
            return;
        }
        self.used += bytes;
        self.items.push(capture);
    }

    /// The captures in the order they were made.
    pub fn iter(&self) -> std::slice::Iter<'_, Capture> {
        self.items.iter()
    }

    /// Captures that did not fit the budget.
    pub const fn dropped(&self) -> usize {
        self.dropped
    }

    /// Bytes held.
    pub const fn bytes(&self) -> usize {
        self.used
    }
}
