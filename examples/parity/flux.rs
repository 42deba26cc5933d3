//! Whole generations of FLUX.

use burn::tensor::Device;

use crate::{Outcome, case::Case, report::Report};

pub(crate) fn run(_case: &Case, _device: &Device, report: &mut Report) -> Outcome {
    report.skipped("FLUX is not built yet");
    Ok(())
}

/// The flow-match scheduler on given model outputs.
pub(crate) fn scheduler(
    name: &str,
    _entry: &serde_json::Value,
    _inputs: &crate::case::Arrays,
    _expected: &crate::case::Arrays,
    _device: &Device,
    report: &mut Report,
) -> Outcome {
    report.skipped(&format!("{name}: FLUX is not built yet"));
    Ok(())
}
