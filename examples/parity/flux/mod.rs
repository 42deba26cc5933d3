//! FLUX: its components, and whole generations.

mod component;
mod generation;
mod ip_adapter;
mod kontext;
mod redux;
mod refresh;

use burn::tensor::Device;

use crate::{Outcome, case::Case, report::Report};

pub(crate) fn run(case: &Case, device: &Device, report: &mut Report) -> Outcome {
    if case.name.starts_with("comp_flux_tables") {
        kontext::tables(case, report)
    } else if case.name.starts_with("comp_t5") {
        component::t5(case, device, report)
    } else if case.kind == "component" {
        component::transformer(case, device, report)
    } else {
        generation::run(case, device, report)
    }
}
