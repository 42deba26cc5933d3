//! Files of weights in quantised and small formats: each tensor they hold, and files that must be refused.

use std::path::Path;

use burn::tensor::{Device, FloatDType, Tensor};
use conceptrol_core::models::weights::{Checkpoint, WeightError};

use crate::{
    Outcome,
    case::{Array, Case, array},
    report::Report,
};

/// The order of one multiplication and one subtraction is free: per element, and of the largest.
const FREE: (f64, f64) = (1e-6, 1e-7);

/// Runs a case of GGUF files, or of fp8 files, which are exact.
pub(crate) fn run(case: &Case, device: &Device, report: &mut Report) -> Outcome {
    let extension = match case.name.starts_with("comp_gguf") {
        true => "gguf",
        false => "safetensors",
    };
    for (key, expected) in case.expected()? {
        let (file, tensor) = key
            .split_once('.')
            .ok_or("an expected name without a file")?;
        let path = case.directory.join(file).with_extension(extension);
        let checkpoint = Checkpoint::open(&path)?;
        let actual = load(&checkpoint, tensor, device)?;
        let actual = actual.ok_or_else(|| format!("{}: no {tensor}", path.display()))?;
        let (relative, of_largest) = if extension == "gguf" {
            FREE
        } else {
            (0.0, 0.0)
        };
        let finite = expected.values.iter().filter(|value| value.is_finite());
        let largest = finite.fold(0.0_f32, |largest, value| largest.max(value.abs()));
        report.each(
            &key,
            &actual,
            &expected,
            relative,
            of_largest * f64::from(largest),
        );
    }
    if extension == "gguf" {
        malformed(case, report)?;
        no_tensors(&case.directory.join("edge_no_tensors.gguf"), report);
    }
    Ok(())
}

/// The values of a tensor of up to three axes.
fn load(
    checkpoint: &Checkpoint,
    name: &str,
    device: &Device,
) -> Result<Option<Array>, WeightError> {
    fn values<const D: usize>(tensor: Option<Tensor<D>>) -> Option<Array> {
        tensor.map(array)
    }
    let axes = checkpoint.get(name).map_or(0, |(_, shape)| shape.len());
    let dtype = FloatDType::F32;
    Ok(match axes {
        1 => values(checkpoint.load::<1>(name, device, dtype)?),
        2 => values(checkpoint.load::<2>(name, device, dtype)?),
        3 => values(checkpoint.load::<3>(name, device, dtype)?),
        _ => None,
    })
}

/// Files that are errors, and files that may be.
fn malformed(case: &Case, report: &mut Report) -> Outcome {
    let expected = case.expected_json()?;
    for entry in expected["malformed"].as_array().into_iter().flatten() {
        let file = entry["file"]
            .as_str()
            .ok_or("a malformed file without a name")?;
        let opened = Checkpoint::open(case.directory.join(file));
        let wanted = entry["expect"] != "error" || opened.is_err();
        report.exact(file, wanted, || format!("opened, though {}", entry["what"]));
    }
    Ok(())
}

fn no_tensors(path: &Path, report: &mut Report) {
    let count = Checkpoint::open(path).map(|checkpoint| checkpoint.len());
    let same = matches!(count, Ok(0));
    report.exact("edge_no_tensors", same, || format!("{count:?}"));
}
