use burn::{
    module::{Module, Param},
    tensor::{Int, Tensor},
};

use crate::models::weights::Weights;

/// A table of vectors, looked up by index.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[entries, dim]`
    weight: Param<Tensor<2>>,
}

impl Embedding {
    /// Takes `weight` of the scope `w`.
    pub fn new(w: &Weights, entries: usize, dim: usize) -> Self {
        Self {
            weight: w.tensor("weight", [entries, dim]),
        }
    }

    /// Looks `ids` up.
    ///
    /// # Shapes
    ///
    /// - `ids`: `[batch, tokens]`, each below the number of entries
    /// - output: `[batch, tokens, dim]`
    ///
    /// # Panics
    ///
    /// May panic if an id is beyond the table: whoever makes the ids checks them.
    pub fn forward(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        let [batch, tokens] = ids.dims();
        let table = self.weight.val();
        let dim = table.dims()[1];
        table
            .select(0, ids.reshape([batch * tokens]))
            .reshape([batch, tokens, dim])
    }
}
