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

    /// Number of entries.
    pub fn entries(&self) -> usize {
        self.weight.dims()[0]
    }

    /// The table with more entries at its end, cast to its type.
    ///
    /// # Panics
    ///
    /// If the vectors are not as wide as the table's.
    #[must_use]
    pub fn extended(self, vectors: Tensor<2>) -> Self {
        let table = self.weight.val();
        let vectors = vectors.cast(table.dtype());
        Self {
            weight: Param::from_tensor(Tensor::cat(vec![table, vectors], 0)),
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

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, FloatDType};

    use super::*;

    #[test]
    fn every_id_gives_its_row() {
        let device = Device::flex();
        let w = Weights::random(1, &device, FloatDType::F32);
        let ids = Tensor::from_data([[4, 0], [2, 4]], &device);
        let out = Embedding::new(&w, 5, 3).forward(ids);
        let table = w.tensor::<2>("weight", [5, 3]).val();
        let row = |index: usize| table.clone().slice_dim(0, index..index + 1);
        let expected = Tensor::cat([4, 0, 2, 4].map(row).to_vec(), 0).reshape([2, 2, 3]);
        out.into_data().assert_eq(&expected.into_data(), true);
    }
}
