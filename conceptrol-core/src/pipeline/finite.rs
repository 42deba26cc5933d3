//! Numbers that are not finite, found without waiting for the device inside the loop.

use burn::tensor::{DType, FloatDType, Tensor, TensorData};

use crate::pipeline::{PipelineError, Stage};

/// Zero if every number of `x` is finite, NaN otherwise: `[1]`, on the device.
pub(super) fn marker<const D: usize>(x: &Tensor<D>) -> Tensor<1> {
    // a finite number times zero is zero; infinity and NaN give NaN, which every sum keeps
    x.clone().cast(DType::F32).mul_scalar(0.0).sum()
}

/// The first of several [`marker`]s that says otherwise; waits for the device.
pub(super) fn first_bad(markers: Vec<Tensor<1>>) -> Result<Option<usize>, PipelineError> {
    if markers.is_empty() {
        return Ok(None);
    }
    let values = read(Tensor::cat(markers, 0))?;
    Ok(values.iter::<f32>().position(|x| x != 0.0))
}

/// The numbers of a tensor, or why the device does not give them.
pub(super) fn read<const D: usize>(x: Tensor<D>) -> Result<TensorData, PipelineError> {
    x.try_into_data().map_err(|error| PipelineError::Device {
        reason: error.to_string(),
    })
}

/// An error unless every number of `x` is finite; waits for the device.
pub(super) fn check<const D: usize>(
    x: &Tensor<D>,
    what: impl FnOnce() -> String,
    stage: Stage,
    dtype: FloatDType,
) -> Result<(), PipelineError> {
    match first_bad(vec![marker(x)])? {
        None => Ok(()),
        Some(_) => Err(error(what(), stage, dtype)),
    }
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
        let finite = |numbers: [f32; 3]| {
            let marker = marker(&Tensor::<1>::from_floats(numbers, &device));
            first_bad(vec![marker]).expect("the CPU answers").is_none()
        };
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
