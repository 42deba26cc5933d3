//! Models, schedulers, tokenizers and random numbers alone.

mod formats;
mod image_proj;
mod resize;
mod rng;
pub(crate) mod schedulers;
mod spans;
mod text;
mod tokenizers;
mod unet;
mod vae;
mod vision;

use burn::tensor::Device;

use crate::{Outcome, case::Case, flux, report::Report};

/// Runs the component that the case's name says.
pub(crate) fn run(case: &Case, device: &Device, report: &mut Report) -> Outcome {
    let is = |prefix: &str| case.name.starts_with(prefix);
    if is("comp_clip_text") {
        text::run(case, device, report)
    } else if is("comp_clip_vision") {
        vision::run(case, device, report)
    } else if is("comp_concept_spans") {
        spans::run(case, report)
    } else if is("comp_gguf") || is("comp_fp8") {
        formats::run(case, device, report)
    } else if is("comp_image_proj") {
        image_proj::run(case, device, report)
    } else if is("comp_resize512") {
        resize::run(case, report)
    } else if is("comp_rng") {
        rng::run(case, report)
    } else if is("comp_schedulers") {
        schedulers::run(case, device, report)
    } else if is("comp_tokenizers") {
        tokenizers::run(case, report)
    } else if is("comp_unet") {
        unet::run(case, device, report)
    } else if is("comp_vae") {
        vae::run(case, device, report)
    } else if is("comp_flux") || is("comp_t5") {
        flux::run(case, device, report)
    } else {
        report.skipped("no component of this name");
        Ok(())
    }
}
