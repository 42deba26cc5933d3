//! The encoder's input.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::encoded::EncodedPrompt;

impl EncodedPrompt {
    /// The indices as a tensor.
    ///
    /// # Shapes
    /// - result: `[1, length]`
    pub fn to_tensor(&self, device: &Device) -> Tensor<2, Int> {
        let ids: Vec<i64> = self.ids.iter().map(|&id| i64::from(id)).collect();
        let shape = [1, ids.len()];
        Tensor::from_data(TensorData::new(ids, shape), (device, DType::I64))
    }
}
