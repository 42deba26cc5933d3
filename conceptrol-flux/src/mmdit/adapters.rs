//! The adapter that reads reference pictures: additions for condition tokens, by layer name.

use std::collections::HashMap;

use conceptrol_core::LowRank;

use super::linear::StreamLinear;

/// Low-rank additions for condition tokens, to install with
/// [`FluxTransformer::set_adapters`](super::FluxTransformer::set_adapters).
///
/// Several may act on one layer; they add up. Names are those of the layers in a diffusers checkpoint, such as
/// `transformer_blocks.0.attn.to_q`.
#[derive(Debug, Clone, Default)]
pub struct Adapters(HashMap<String, Vec<LowRank>>);

impl Adapters {
    /// Adapters with these additions.
    pub fn new(additions: HashMap<String, Vec<LowRank>>) -> Self {
        Self(additions)
    }

    /// Whether nothing is added.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives a layer its additions, and none where there are none.
    pub(crate) fn attach(&self, linear: &mut StreamLinear) {
        let additions = self.0.get(linear.name()).cloned();
        linear.set_condition(additions.unwrap_or_default());
    }
}
