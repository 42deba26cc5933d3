//! Numbers that are not finite, found without waiting for the device inside the loop.

use burn::tensor::{DType, FloatDType, Tensor};

use crate::pipeline::{PipelineError, Stage};

/// Zero if every number of `x` is finite, NaN otherwise: `[1]`, on the device.
pub(super) fn marker<const D: usize>(x: &Tensor<D>) -> Tensor<1> {
    // a finite number times zero is zero; infinity and NaN give NaN, which every sum keeps
    x.clone().cast(DType::F32).mul_scalar(0.0).sum()
}

/// Whether a [`marker`] says so; waits for the device.
pub(super) fn is_finite(marker: Tensor<1>) -> bool {
    marker.into_scalar::<f32>() == 0.0
}

/// An error unless every number of `x` is finite; waits for the device.
pub(super) fn check<const D: usize>(
    x: &Tensor<D>,
    what: impl FnOnce() -> String,
    stage: Stage,
    dtype: FloatDType,
) -> Result<(), PipelineError> {
    if is_finite(marker(x)) {
        return Ok(());
    }
    Err(error(what(), stage, dtype))
}

/// The error, with advice that fits stage and type.
pub(super) fn error(what: String, stage: Stage, dtype: FloatDType) -> PipelineError {
    let half = matches!(dtype, FloatDType::F16 | FloatDType::BF16);
    let mut advice = Vec::new();
    if dtype == FloatDType::F16 {
        advice.push("try f32 or bf16");
    } else if half {
        advice.push("try f32");
    }
    advice.push(match stage {
        Stage::Denoising { .. } => {
            "lower the scale and the guidance, and check the files of model and adapter"
        }
        Stage::Decoding { .. } => "try another autoencoder",
        Stage::Encoding | Stage::Loading => "check the files of adapter and encoders",
    });
    PipelineError::NotFinite {
        what,
        stage,
        dtype: format!("{dtype:?}").to_lowercase(),
        advice: advice.join("; "),
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn one_bad_number_is_seen() {
        let device = Device::flex();
        let finite =
            |numbers: [f32; 3]| is_finite(marker(&Tensor::<1>::from_floats(numbers, &device)));
        assert!(finite([0.0, -1.0, f32::MAX]));
        assert!(
            finite([f32::MAX, f32::MAX, f32::MAX]),
            "a sum of them would not be"
        );
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(!finite([0.0, bad, 1.0]), "{bad}");
        }
    }
}
