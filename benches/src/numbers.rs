use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};

/// Where inputs lie, and in which type.
#[derive(Debug, Clone)]
pub struct Place {
    /// The device.
    pub device: Device,
    /// The type.
    pub dtype: FloatDType,
}

impl Place {
    /// Where a tensor lies.
    pub(crate) fn of<const D: usize>(tensor: &Tensor<D>) -> Self {
        Self {
            device: tensor.device(),
            dtype: tensor.dtype().into(),
        }
    }
}

/// In `f32`.
impl From<&Device> for Place {
    fn from(device: &Device) -> Self {
        Self {
            device: device.clone(),
            dtype: FloatDType::F32,
        }
    }
}

impl From<&Self> for Place {
    fn from(place: &Self) -> Self {
        place.clone()
    }
}

/// Numbers in -1..1 from a linear congruential generator, which `peers/operations.py` repeats: both sides compute on the same.
pub fn numbers<const D: usize>(shape: [usize; D], seed: u32, place: impl Into<Place>) -> Tensor<D> {
    let mut state = seed;
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect();
    let place = place.into();
    let data = TensorData::new(values, shape);
    Tensor::<D>::from_data(data, (&place.device, DType::F32)).cast(place.dtype)
}
