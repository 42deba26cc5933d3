//! Low-rank additions of a whole transformer, by layer name and token stream.

use std::collections::BTreeMap;

use super::linear::{LowRank, Stream, StreamLinear};

/// Low-rank additions to install with [`FluxTransformer::set_adapters`](super::FluxTransformer::set_adapters).
///
/// Several may act on one layer; they add up. Names are those of the layers in a diffusers checkpoint, such as
/// `transformer_blocks.0.attn.to_q`.
#[derive(Debug, Clone, Default)]
pub struct Adapters {
    main: BTreeMap<String, Vec<LowRank>>,
    condition: BTreeMap<String, Vec<LowRank>>,
}

impl Adapters {
    /// Adds a low-rank addition to layer `name` for one stream.
    pub fn add(&mut self, stream: Stream, name: impl Into<String>, addition: LowRank) {
        let layers = match stream {
            Stream::Main => &mut self.main,
            Stream::Condition => &mut self.condition,
        };
        layers.entry(name.into()).or_default().push(addition);
    }

    /// Removes the additions of a stream.
    pub fn clear(&mut self, stream: Stream) {
        match stream {
            Stream::Main => self.main.clear(),
            Stream::Condition => self.condition.clear(),
        }
    }

    /// Whether there is any addition for a stream.
    pub fn has(&self, stream: Stream) -> bool {
        match stream {
            Stream::Main => !self.main.is_empty(),
            Stream::Condition => !self.condition.is_empty(),
        }
    }

    /// Gives a layer its additions, and none where there are none.
    pub(crate) fn attach(&self, linear: &mut StreamLinear) {
        for (stream, layers) in [
            (Stream::Main, &self.main),
            (Stream::Condition, &self.condition),
        ] {
            let additions = layers.get(linear.name()).cloned().unwrap_or_default();
            linear.set_additions(stream, additions);
        }
    }
}
