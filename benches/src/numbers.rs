use burn::tensor::{DType, Device, Tensor, TensorData};

/// Numbers in -1..1 from a linear congruential generator, which `peers/operations.py` repeats: both sides compute on the same.
pub fn numbers<const D: usize>(shape: [usize; D], seed: u32, device: &Device) -> Tensor<D> {
    let mut state = seed;
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect();
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
}
