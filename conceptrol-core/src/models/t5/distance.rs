//! The relative position bias: a learned number per head and class of token distance.

use crate::models::weights::Weights;
use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor, TensorData};

use super::config::T5Config;

/// The bias all blocks add to their attention logits; the first block's file entries hold it.
#[derive(Module, Debug)]
pub(crate) struct DistanceBias {
    /// `[classes, heads]`
    weight: Param<Tensor<2>>,
    #[module(skip)]
    classes: usize,
    #[module(skip)]
    max_distance: usize,
}

impl DistanceBias {
    pub(crate) fn new(config: &T5Config, weights: &Weights) -> Self {
        let classes = config.relative_attention_num_buckets;
        Self {
            weight: weights.tensor("weight", [classes, config.num_heads]),
            classes,
            max_distance: config.relative_attention_max_distance,
        }
    }

    /// Bias of `tokens` queries and keys: `[1, heads, tokens, tokens]`.
    pub(crate) fn forward(&self, tokens: usize) -> Tensor<4> {
        let table = self.weight.val();
        let [_, heads] = table.dims();
        let mut classes = Vec::with_capacity(tokens * tokens);
        for query in 0..tokens {
            for key in 0..tokens {
                let class = distance_class(query, key, self.classes, self.max_distance);
                classes.push(i32::try_from(class).expect("the number of classes is validated"));
            }
        }
        let classes = TensorData::new(classes, [tokens * tokens]);
        let classes = Tensor::<1, Int>::from_data(classes, &table.device());
        table
            .select(0, classes) // [q * k, h]
            .reshape([tokens, tokens, heads])
            .permute([2, 0, 1])
            .unsqueeze()
    }
}

/// The class of the distance from `query` to `key`: half the classes for each direction, half of those for exact distances
/// and half for logarithmically growing ranges.
///
/// f32 as in the reference, whose rounding decides which side of a boundary a distance lies on.
fn distance_class(query: usize, key: usize, classes: usize, max_distance: usize) -> usize {
    let per_direction = classes / 2;
    let base = if key > query { per_direction } else { 0 };
    let exact = per_direction / 2;
    let distance = key.abs_diff(query);
    if distance < exact {
        return base + distance;
    }
    let span = (max_distance as f64 / exact as f64).ln() as f32;
    let fraction = (distance as f32 / exact as f32).ln() / span;
    let logarithmic = exact + (fraction * (per_direction - exact) as f32) as usize;
    base + logarithmic.min(per_direction - 1)
}

#[cfg(test)]
mod tests {
    use super::distance_class;

    #[test]
    fn classes_follow_the_published_layout() {
        let class = |query, key| distance_class(query, key, 32, 128);
        assert_eq!(class(5, 5), 0);
        assert_eq!(class(7, 0), 7, "before the query: exact");
        assert_eq!(class(0, 7), 23, "after the query: the other half");
        assert_eq!(
            [class(8, 0), class(16, 0), class(32, 0), class(64, 0)],
            [8, 10, 12, 14]
        );
        assert_eq!([class(127, 0), class(128, 0), class(500, 0)], [15, 15, 15]);
    }
}
